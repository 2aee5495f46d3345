'use strict';

// The block custom.deployment: what is deployed only if it is asked for, and what CloudFormation cannot set.

class Deployment {
  constructor(serverless) {
    this.serverless = serverless;
    this.hooks = {
      initialize: () => this.read(),
      'before:package:cleanup': () => this.check(),
      'before:package:finalize': () => this.complete(),
      'after:deploy:deploy': () => this.throttle(),
    };
  }

  read() {
    this.options = this.serverless.service.custom.deployment;
  }

  check() {
    const stop = (sentence) => {
      throw new this.serverless.classes.Error(sentence);
    };
    const { ALARM_EMAIL } = this.options;
    if (ALARM_EMAIL && !/^[^@\s]+@[^@\s]+$/.test(ALARM_EMAIL)) stop(`ALARM_EMAIL must be one address, not ${ALARM_EMAIL}.`);
    for (const name of ['THROTTLE_RATE', 'THROTTLE_BURST']) {
      if (!/^[1-9]\d{0,4}$/.test(this.options[name])) {
        stop(`${name} must be a whole number from 1 to 99999, not ${this.options[name]}.`);
      }
    }
  }

  complete() {
    const { Resources } = this.serverless.service.resources;
    if (this.options.ALARM_EMAIL) {
      Resources.AlarmEmail = {
        Type: 'AWS::SNS::Subscription',
        Properties: { TopicArn: { Ref: 'Alarms' }, Protocol: 'email', Endpoint: this.options.ALARM_EMAIL },
      };
    }
  }

  // Settings of a stage cannot be part of the template: osls makes the stage as part of a deployment of the
  // API, and CloudFormation refuses a description of a stage that exists ("StageDescription cannot be specified").
  async throttle() {
    const { APIGatewayClient, UpdateStageCommand } = require('@aws-sdk/client-api-gateway');
    const { DescribeStackResourceCommand } = require('@aws-sdk/client-cloudformation');
    const provider = this.serverless.getProvider('aws');
    const cloudFormation = await provider.getCloudFormationClient();
    const api = await cloudFormation.send(
      new DescribeStackResourceCommand({
        StackName: provider.naming.getStackName(),
        LogicalResourceId: provider.naming.getRestApiLogicalId(),
      })
    );
    const client = new APIGatewayClient(await provider.getAwsSdkV3Config());
    const set = (name, value) => ({ op: 'replace', path: `/*/*/throttling/${name}`, value: String(value) });
    await client.send(
      new UpdateStageCommand({
        restApiId: api.StackResourceDetail.PhysicalResourceId,
        stageName: provider.getApiGatewayStage(),
        patchOperations: [
          set('rateLimit', this.options.THROTTLE_RATE),
          set('burstLimit', this.options.THROTTLE_BURST),
        ],
      })
    );
  }
}

module.exports = Deployment;

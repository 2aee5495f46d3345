'use strict';

// The block custom.deployment: what is deployed only if it is asked for, and what CloudFormation cannot set.

const { createHash, createPrivateKey, createPublicKey } = require('node:crypto');

// What API Gateway sends for GET /health: it opens the connections to the bucket and the table, too.
const HEALTH = { httpMethod: 'GET', path: '/health', headers: {}, requestContext: {} };

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

  // After plugin.js has given each function its environment.
  read() {
    this.options = this.serverless.service.custom.deployment;
    const { api } = this.serverless.service.functions;
    const { CLOUDFRONT_KEY, SNAPSTART, PROVISIONED, WARM } = this.options;
    if (SNAPSTART === 'true') api.snapStart = true;
    if (Number(PROVISIONED)) api.provisionedConcurrency = Number(PROVISIONED);
    if (WARM === 'true') api.events.push({ schedule: { rate: ['rate(5 minutes)'], input: HEALTH } });
    if (CLOUDFRONT_KEY) {
      api.environment = {
        ...api.environment,
        CLOUDFRONT_HOST: { 'Fn::GetAtt': ['Files', 'DomainName'] },
        CLOUDFRONT_KEY_ID: { Ref: this.keyId() },
        CLOUDFRONT_KEY,
      };
    }
  }

  check() {
    const stop = (sentence) => {
      throw new this.serverless.classes.Error(sentence);
    };
    const { ALARM_EMAIL, DOMAIN, CERTIFICATE, CLOUDFRONT_KEY, SNAPSTART, PROVISIONED } = this.options;
    if (ALARM_EMAIL && !/^[^@\s]+@[^@\s]+$/.test(ALARM_EMAIL)) stop(`ALARM_EMAIL must be one address, not ${ALARM_EMAIL}.`);
    if (Boolean(DOMAIN) !== Boolean(CERTIFICATE)) {
      const [given, missing] = DOMAIN ? ['DOMAIN', 'CERTIFICATE'] : ['CERTIFICATE', 'DOMAIN'];
      stop(`${given} is set but ${missing} is not: set both for a domain of your own, or none.`);
    }
    if (DOMAIN && !/^(?=.{4,253}(\/|$))([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}(\/[\w.-]+)?$/.test(DOMAIN)) {
      stop(`DOMAIN must be a name such as packages.acme.example, with a path or without, not ${DOMAIN}.`);
    }
    const [, region] = /^arn:[a-z-]+:acm:([a-z0-9-]+):\d{12}:certificate\/[\w-]+$/.exec(CERTIFICATE) || [];
    if (CERTIFICATE && !region) {
      stop(`CERTIFICATE must be an ARN such as arn:aws:acm:us-east-1:123456789012:certificate/ID, not ${CERTIFICATE}.`);
    }
    const here = this.serverless.getProvider('aws').getRegion();
    if (CERTIFICATE && region !== here) {
      stop(`CERTIFICATE is in ${region} and the index in ${here}: request one in the Certificate Manager of ${here}.`);
    }
    for (const [name, least] of [['THROTTLE_RATE', 1], ['THROTTLE_BURST', 1], ['PROVISIONED', 0]]) {
      const value = this.options[name];
      if (!/^\d{1,5}$/.test(value) || Number(value) < least) {
        stop(`${name} must be a whole number from ${least} to 99999, not ${value}.`);
      }
    }
    for (const name of ['SNAPSTART', 'WARM']) {
      const value = this.options[name];
      if (!['true', 'false'].includes(value)) stop(`${name} must be true or false, not ${value}.`);
    }
    if (SNAPSTART === 'true' && Number(PROVISIONED)) stop('Lambda has SNAPSTART or PROVISIONED, not both: leave one out.');
    if (CLOUDFRONT_KEY && !this.publicKey()) {
      stop('CLOUDFRONT_KEY must be an RSA key of 2048 bits in PEM, as `openssl genrsa 2048` makes one.');
    }
    // Lambda takes no more; CloudFormation would say so after minutes, and roll back.
    const variables = Object.entries(this.serverless.service.functions.api.environment);
    const size = variables.reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(String(value)), 0);
    if (size > 4096) stop(`The settings have ${size} bytes, and Lambda takes 4096: USERS is too long, or CLOUDFRONT_KEY.`);
  }

  complete() {
    const { service } = this.serverless;
    const { Resources } = service.resources;
    if (this.options.ALARM_EMAIL) {
      Resources.AlarmEmail = {
        Type: 'AWS::SNS::Subscription',
        Properties: { TopicArn: { Ref: 'Alarms' }, Protocol: 'email', Endpoint: this.options.ALARM_EMAIL },
      };
    }
    if (this.options.DOMAIN) {
      const { Resources: own, Outputs } = service.custom.domain;
      Object.assign(Resources, own);
      Object.assign(service.resources.Outputs, Outputs);
      const [host, path] = this.options.DOMAIN.split('/');
      Object.assign(own.Domain.Properties, { DomainName: host, RegionalCertificateArn: this.options.CERTIFICATE });
      if (path) own.DomainMapping.Properties.BasePath = path;
      const all = Object.entries(service.provider.compiledCloudFormationTemplate.Resources);
      const deployments = all.filter(([, { Type }]) => Type === 'AWS::ApiGateway::Deployment').map(([name]) => name);
      own.DomainMapping.DependsOn.push(...deployments);
    }
    if (this.options.CLOUDFRONT_KEY) {
      const { Resources: front, Statement } = service.custom.cloudfront;
      Object.assign(Resources, front);
      Resources.BucketPolicy.Properties.PolicyDocument.Statement.push(Statement);
      Resources.LinkKeys.Properties.KeyGroupConfig.Items.push({ Ref: this.keyId() });
      const provider = this.serverless.getProvider('aws');
      const name = `${service.service}-${provider.getStage()}-${provider.getRegion()}-${this.keyId()}`;
      Resources[this.keyId()] = {
        Type: 'AWS::CloudFront::PublicKey',
        Properties: { PublicKeyConfig: { CallerReference: name, Name: name, EncodedKey: this.publicKey() } },
      };
    }
  }

  publicKey() {
    try {
      const key = createPublicKey(createPrivateKey(this.options.CLOUDFRONT_KEY));
      if (key.asymmetricKeyType !== 'rsa' || key.asymmetricKeyDetails.modulusLength !== 2048) return null;
      return key.export({ type: 'spki', format: 'pem' });
    } catch {
      return null;
    }
  }

  // A public key cannot be changed, only replaced: another key has another logical id.
  keyId() {
    return `LinkKey${createHash('sha256').update(String(this.publicKey())).digest('hex').slice(0, 8)}`;
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
    const gateway = new APIGatewayClient(await provider.getAwsSdkV3Config());
    const set = (name, value) => ({ op: 'replace', path: `/*/*/throttling/${name}`, value });
    await gateway.send(
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

'use strict';

// What serverless.yml cannot say: which settings are wrong, and which function gets which.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

// The application's own checks, so that a wrong setting stops here and not on the first request.
const CHECK = `
import os, sys
if sys.version_info < (3, 11):
    sys.exit("python3 is Python %d.%d: put Python 3.11 or newer first on the PATH." % sys.version_info[:2])
from elasticpypi.config import Config
from elasticpypi.core.errors import ConfigurationError
try:
    Config.from_env(os.environ)
except ConfigurationError as error:
    sys.exit(str(error))
`;

const RECORDS_REMEDY = '; set ELASTICPYPI_RECORDS_BUCKET to a name of your own';

// A runtime such as python3.13 -> an interpreter of this very version: on the PATH, of pyenv, or of uv.
function interpreter(runtime) {
  const versions = path.join(process.env.PYENV_ROOT || path.join(os.homedir(), '.pyenv'), 'versions');
  const number = runtime.replace('python', '');
  const ofPyenv = fs.existsSync(versions) ? fs.readdirSync(versions) : [];
  const uv = spawnSync('uv', ['python', 'find', '--system', '--no-python-downloads', number], { encoding: 'utf8' });
  const candidates = [
    runtime,
    ...ofPyenv.filter((name) => name.startsWith(`${number}.`)).map((name) => path.join(versions, name, 'bin', runtime)),
    ...(uv.status === 0 ? [uv.stdout.trim()] : []),
  ];
  const check = `import sys; sys.exit("python%d.%d" % sys.version_info[:2] != "${runtime}" or sys.implementation.name != "cpython")`;
  // A shim of pyenv can be there without a Python behind it.
  return candidates.find((candidate) => spawnSync(candidate, ['-c', check]).status === 0);
}

class Elasticpypi {
  constructor(serverless, options, { log }) {
    this.serverless = serverless;
    this.log = log;
    this.hooks = {
      initialize: () => this.distribute(),
      'before:package:cleanup': () => this.check(),
      'before:package:compileLayers': () => this.compile(), // the zip is there, and all that belongs into it
      'before:package:finalize': () => this.complete(),
      'before:deploy:deploy': () => this.compare(),
    };
  }

  // Every function gets the settings that have a value; those that answer nobody, none of the passwords.
  distribute() {
    const { provider, functions } = this.serverless.service;
    this.settings = Object.fromEntries(Object.entries(provider.environment).filter(([, value]) => value !== ''));
    const { USERNAME, PASSWORD, USERS, ...open } = this.settings;
    for (const [name, definition] of Object.entries(functions)) {
      definition.environment = ['sync', 'audit'].includes(name) ? open : this.settings;
    }
    provider.environment = {};
  }

  check() {
    const stop = (sentence) => {
      throw new this.serverless.classes.Error(sentence);
    };
    const { BUCKET, RECORDS_BUCKET, TABLE, PASSWORD, USERS } = this.settings;
    if (!BUCKET) stop('BUCKET is missing: set ELASTICPYPI_BUCKET, or write the name into serverless.yml.');
    for (const [name, value, remedy] of [['BUCKET', BUCKET, ''], ['RECORDS_BUCKET', RECORDS_BUCKET, RECORDS_REMEDY]]) {
      if (!/^(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(value)) {
        stop(`${name} cannot be ${value}: S3 wants 3 to 63 characters of a-z, 0-9, "-" and "."${remedy}.`);
      }
    }
    if (typeof TABLE === 'string' && !/^[a-zA-Z0-9_.-]{3,255}$/.test(TABLE)) {
      stop(`TABLE cannot be ${TABLE}: DynamoDB wants 3 to 255 characters of a-z, A-Z, 0-9, "_", "-" and ".".`);
    }
    if (!PASSWORD && !USERS) {
      stop('PASSWORD is missing: set ELASTICPYPI_PASSWORD, or ELASTICPYPI_USERS for several users.');
    }
    if (typeof PASSWORD === 'string' && PASSWORD !== PASSWORD.trim()) {
      stop('PASSWORD begins or ends with white space: a shell or an editor added it, or choose another.');
    }
    const text = Object.entries(this.settings).filter(([, value]) => typeof value === 'string');
    const env = { PATH: process.env.PATH, ...Object.fromEntries(text) };
    const { status, stderr } = spawnSync('python3', ['-c', CHECK], { cwd: this.serverless.serviceDir, env });
    if (status !== 0) stop(stderr ? String(stderr).trim() : 'python3 is missing: put Python 3.11 or newer on the PATH.');
    // Anybody on the internet may guess, as often as they like; a hash is long in any case.
    const entries = USERS ? USERS.split(',').map((entry) => entry.trim().split(/:(.*)/s)) : [['', PASSWORD]];
    for (const [user, password] of entries) {
      if (typeof password === 'string' && password.length < 12) {
        stop(`${user ? `USERS: the password of ${user}` : 'PASSWORD'} is too short: use 12 characters or more.`);
      }
    }
  }

  // Another BUCKET, RECORDS_BUCKET or TABLE is an empty one, and CloudFormation never takes the first one back: it exists already.
  async compare() {
    const { DescribeStackResourcesCommand } = require('@aws-sdk/client-cloudformation');
    const provider = this.serverless.getProvider('aws');
    const cloudFormation = await provider.getCloudFormationClient();
    let resources;
    try {
      const asked = new DescribeStackResourcesCommand({ StackName: provider.naming.getStackName() });
      ({ StackResources: resources } = await cloudFormation.send(asked));
    } catch (error) {
      if (error.name !== 'ValidationError') throw error; // there is no stack yet
      return;
    }
    const deploymentBucket = provider.naming.getDeploymentBucketLogicalId();
    const there = resources.filter((each) => each.PhysicalResourceId && !/^DELETE_/.test(each.ResourceStatus));
    const named = (isOurs) => there.filter(isOurs).map(({ PhysicalResourceId }) => PhysicalResourceId);
    const before = {
      BUCKET: named(
        (each) => each.ResourceType === 'AWS::S3::Bucket' && ![deploymentBucket, 'RecordsBucket'].includes(each.LogicalResourceId)
      ),
      RECORDS_BUCKET: named((each) => each.LogicalResourceId === 'RecordsBucket'),
      TABLE: named((each) => each.LogicalResourceId === 'IndexTable'), // that of the earlier elasticpypi goes
    };
    const left = this.serverless.service.custom.deployment.MOVE_FROM.split(',').map((name) => name.trim());
    const changed = Object.entries(before)
      .filter(([name, was]) => was.length && typeof this.settings[name] === 'string' && !was.includes(this.settings[name]))
      .filter(([, was]) => !was.some((name) => left.includes(name)));
    if (!changed.length) return;
    const differ = changed.map(([name, [was]]) => `${name} was ${was} and is ${this.settings[name]} now`);
    const back = changed.map(([name, [was]]) => `ELASTICPYPI_${name}=${was}`);
    throw new this.serverless.classes.Error(
      `${differ.join(', ')}: what is new is empty. Set ${back.join(' ')}, or, to move on purpose (docs/deploy-aws.md, "Another ` +
        `bucket or table"), ELASTICPYPI_MOVE_FROM=${changed.map(([, [was]]) => was).join(',')}.`
    );
  }

  // Bytecode, so that a cold start has nothing to compile; only the Python of the runtime can make it.
  compile() {
    const { runtime } = this.serverless.service.provider;
    const python = interpreter(runtime);
    if (!python) {
      const version = runtime.replace('python', '');
      this.log.warning(
        `There is no Python ${version} here to compile for Lambda: the index works, but each cold start takes ` +
          `longer. Install it, with \`uv python install ${version}\` for example, and deploy again.`
      );
      return;
    }
    const script = path.join(__dirname, 'bytecode.py');
    // The same bytes each time, so that osls sees when nothing has changed.
    const env = { ...process.env, PYTHONHASHSEED: '0' };
    const { status, stderr } = spawnSync(python, [script, this.serverless.service.package.artifact], { env });
    if (status !== 0) throw new this.serverless.classes.Error(`${python} cannot compile the zip: ${stderr}`);
  }

  complete() {
    const { service } = this.serverless;
    const { Resources } = service.provider.compiledCloudFormationTemplate;
    const id = this.serverless.getProvider('aws').naming.getBucketLogicalId(this.settings.BUCKET);
    const { Properties, ...policies } = service.custom.bucket;
    Object.assign(Resources[id], policies);
    Object.assign(Resources[id].Properties, Properties);
    service.resources.Resources.BucketPolicy.Properties.Bucket = { Ref: id };
    // A deployment is a snapshot of the API: it has to be taken after the gateway responses are there.
    const responses = Object.entries(service.resources.Resources)
      .filter(([, resource]) => resource.Type === 'AWS::ApiGateway::GatewayResponse')
      .map(([name]) => name);
    for (const resource of Object.values(Resources)) {
      if (resource.Type === 'AWS::ApiGateway::Deployment') resource.DependsOn.push(...responses);
    }
  }
}

module.exports = Elasticpypi;

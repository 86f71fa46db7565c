// Drives npm's acme-client: issue CHALLENGE FILE NAME... | revoke FILE | update MAIL | rollover | deactivate.
// The account's key and URL are kept in the working folder, so that each call is a process of its own.
'use strict';
const fs = require('fs');
const http = require('http');
const tls = require('tls');
const acme = require('acme-client');

const { DIRECTORY, HTTP01_PORT, TLSALPN01_PORT, DNS_MANAGEMENT, KID, HMAC, PATIENCE } = process.env;
const [verb, ...rest] = process.argv.slice(2);

const post = (path, body) => new Promise((resolve, reject) => {
  const request = http.request(`${DNS_MANAGEMENT}/${path}`, { method: 'POST' }, (answer) => {
    answer.resume();
    answer.on('end', resolve);
  });
  request.on('error', reject);
  request.end(JSON.stringify(body));
});

async function client() {
  if (!fs.existsSync('account.key')) {
    fs.writeFileSync('account.key', await acme.crypto.createPrivateEcdsaKey(), { mode: 0o600 });
  }
  const known = fs.existsSync('account.url');
  const made = new acme.Client({
    directoryUrl: DIRECTORY,
    accountKey: fs.readFileSync('account.key'),
    accountUrl: known ? fs.readFileSync('account.url', 'utf8') : undefined,
    externalAccountBinding: KID ? { kid: KID, hmacKey: HMAC } : {},
    backoffAttempts: Number(PATIENCE ?? 10),
    backoffMin: 1000,
    backoffMax: 1000,
  });
  if (!known) {
    await made.createAccount({ termsOfServiceAgreed: true, contact: ['mailto:first@acme-client.example'] });
    fs.writeFileSync('account.url', made.getAccountUrl());
  }
  return made;
}

function responder(challenge) {
  const answers = new Map();
  let server;
  const listen = (made, port) => new Promise((resolve) => { server = made.listen(port, '127.0.0.1', resolve); });
  return {
    async create(authz, { token }, answer) {
      if (challenge === 'dns-01') {
        await post('set-txt', { host: `_acme-challenge.${authz.identifier.value}`, value: answer });
      } else if (challenge === 'http-01') {
        answers.set(token, answer);
        server ??= await listen(http.createServer((request, reply) => {
          reply.end(answers.get(request.url.split('/').pop()) ?? '');
        }), HTTP01_PORT);
      } else {
        const [key, cert] = await acme.crypto.createAlpnCertificate(authz, answer);
        await listen(tls.createServer({ key, cert, ALPNProtocols: ['acme-tls/1'] }), TLSALPN01_PORT);
      }
    },
    async remove(authz) {
      if (challenge === 'dns-01') {
        await post('clear-txt', { host: `_acme-challenge.${authz.identifier.value}` });
      }
    },
  };
}

const verbs = {
  async issue(challenge, file, ...names) {
    const made = await client();
    const [key, csr] = await acme.crypto.createCsr({ altNames: names });
    const { create, remove } = responder(challenge);
    const chain = await made.auto({
      csr,
      termsOfServiceAgreed: true,
      challengePriority: [challenge],
      skipChallengeVerification: true,
      challengeCreateFn: create,
      challengeRemoveFn: remove,
    });
    fs.writeFileSync(file, chain);
    fs.writeFileSync(`${file}.key`, key, { mode: 0o600 });
  },
  async revoke(file) {
    await (await client()).revokeCertificate(fs.readFileSync(file), { reason: 4 });
  },
  async update(mail) {
    await (await client()).updateAccount({ contact: [`mailto:${mail}`] });
  },
  async rollover() {
    const made = await client();
    const key = await acme.crypto.createPrivateEcdsaKey();
    await made.updateAccountKey(key);
    fs.writeFileSync('account.key', key, { mode: 0o600 });
  },
  async deactivate() {
    await (await client()).updateAccount({ status: 'deactivated' });
  },
};

verbs[verb](...rest).then(() => process.exit(0), (error) => {
  console.error(error.message ?? error);
  process.exit(1);
});

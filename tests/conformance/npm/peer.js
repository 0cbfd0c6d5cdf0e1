// The other side of test_httpsig.py: signs and verifies by http-message-signatures.  One JSON object a line, in and out:
//	{do: "sign" | "verify", key: HEX, message: {method, url, headers} | {status, headers}, fields, params, values}
'use strict';
const crypto = require('crypto');
const readline = require('readline');
const { httpbis } = require('http-message-signatures');

const PKCS8 = '302e020100300506032b657004220420', SPKI = '302a300506032b6570032100';
const secret = (hex) => crypto.createPrivateKey({ key: Buffer.from(PKCS8 + hex, 'hex'), format: 'der', type: 'pkcs8' });
const open = (hex) => crypto.createPublicKey({ key: Buffer.from(SPKI + hex, 'hex'), format: 'der', type: 'spki' });

async function run(job) {
	if (job.do === 'sign') {
		const values = { ...job.values, created: new Date(job.values.created * 1000) };
		if (job.values.expires)
			values.expires = new Date(job.values.expires * 1000);
		const signed = await httpbis.signMessage({
			key: { id: job.values.keyid, alg: 'ed25519', sign: async (data) => crypto.sign(null, data, secret(job.key)) },
			name: job.label, fields: job.fields, params: job.params, paramValues: values,
		}, job.message);
		return { headers: signed.headers };
	}
	const good = await httpbis.verifyMessage({
		keyLookup: async (params) => ({
			id: params.keyid, algs: ['ed25519'],
			verify: async (data, signature) => crypto.verify(null, data, open(job.key), signature),
		}),
		requiredParams: job.params, requiredFields: job.fields, all: true,
	}, job.message);
	return { good };
}

(async () => {
	for await (const line of readline.createInterface({ input: process.stdin }))
		console.log(JSON.stringify(await run(JSON.parse(line)).catch((e) => ({ error: String(e) }))));
})();

// The other side of test_tuf_peers.py.  One JSON object as argument, one line out.
//	{do: "client", root: FILE, metadata: DIR, metadata_url, target_dir: DIR, targets_url, names: [PATH...]}
//		tuf-js refreshes and downloads: {files: {PATH: FILE}} or {error: TEXT}
//	{do: "make", folder: DIR, kind: "ed25519" | "ecdsa", target: PATH, data: TEXT, other: PATH}
//		a repository by @tufjs/models: two of three root keys, consistent snapshots, a terminating delegation
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const { Key, MetaFile, Metadata, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } = require('@tufjs/models');

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');

function newKey(kind) {
	const pair = kind === 'ed25519' ? crypto.generateKeyPairSync('ed25519') :
		crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
	const open = kind === 'ed25519' ?
		pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex') :
		pair.publicKey.export({ format: 'pem', type: 'spki' });
	const scheme = kind === 'ed25519' ? 'ed25519' : 'ecdsa-sha2-nistp256';
	const keyID = digest(JSON.stringify({ keytype: kind, scheme, keyval: { public: open } }));

	return {
		key: new Key({ keyID, keyType: kind, scheme, keyVal: { public: open } }),
		sign: (data) => new Signature({
			keyID, sig: crypto.sign(kind === 'ed25519' ? null : 'sha256', data, pair.privateKey).toString('hex') }),
	};
}

function make(job) {
	const keys = {}, of = (role, n) => (keys[role] = Array.from({ length: n }, () => newKey(job.kind)));
	const life = { version: 1, specVersion: '1.0.31', expires: new Date(Date.now() + 864e5).toISOString().slice(0, 19) + 'Z' };
	const write = (name, signed, signers) => {
		const metadata = new Metadata(signed);

		signers.forEach((s) => metadata.sign(s.sign));
		const bytes = Buffer.from(JSON.stringify(metadata.toJSON()));
		fs.writeFileSync(path.join(job.folder, 'metadata', name), bytes);
		return new MetaFile({ version: 1, length: bytes.length, hashes: { sha256: digest(bytes) } });
	};
	const entry = (name) => {
		const at = path.join(job.folder, 'targets', path.dirname(name));

		fs.mkdirSync(at, { recursive: true });
		fs.writeFileSync(path.join(at, digest(job.data) + '.' + path.basename(name)), job.data);
		return { length: Buffer.byteLength(job.data), hashes: { sha256: digest(job.data) }, custom: { 'x-note': 'd\u00e9j\u00e0 vu' } };
	};

	fs.mkdirSync(path.join(job.folder, 'metadata'), { recursive: true });
	const root = new Root({ ...life, consistentSnapshot: true });
	for (const [role, n, threshold] of [['root', 3, 2], ['timestamp', 1, 1], ['snapshot', 1, 1], ['targets', 1, 1]]) {
		of(role, n).forEach((k) => root.addKey(k.key, role));
		root.roles[role].threshold = threshold;
	}
	const team = newKey(job.kind);
	const delegated = new Targets({ ...life, targets: { [job.target]: new TargetFile({ path: job.target, ...entry(job.target) }) } });
	const targets = Targets.fromJSON({
		_type: 'targets', version: life.version, spec_version: life.specVersion, expires: life.expires,
		targets: { [job.other]: entry(job.other) },
		delegations: {
			keys: { [team.key.keyID]: team.key.toJSON() },
			roles: [{ name: 'team', keyids: [team.key.keyID], threshold: 1, terminating: true, paths: ['team/*'] }],
		},
	});
	const meta = { 'team.json': write('1.team.json', delegated, [team]), 'targets.json': write('1.targets.json', targets, keys.targets) };
	const snapshot = write('1.snapshot.json', new Snapshot({ ...life, meta }), keys.snapshot);
	write('timestamp.json', new Timestamp({ ...life, snapshotMeta: snapshot }), keys.timestamp);
	write('1.root.json', root, keys.root.slice(1));
	return {};
}

async function client(job) {
	const { Updater } = require('tuf-js');
	const files = {};

	fs.copyFileSync(job.root, path.join(job.metadata, 'root.json'));
	const updater = new Updater({
		metadataDir: job.metadata, metadataBaseUrl: job.metadata_url, targetDir: job.target_dir, targetBaseUrl: job.targets_url,
		config: { fetchRetry: 0, fetchTimeout: 10000 },
	});
	await updater.refresh();
	for (const name of job.names) {
		const found = await updater.getTargetInfo(name);

		files[name] = found ? await updater.downloadTarget(found) : null;
	}
	return { files };
}

(async () => {
	const job = JSON.parse(process.argv[2]);

	try {
		console.log(JSON.stringify(await (job.do === 'make' ? make(job) : client(job))));
	} catch (error) {
		console.log(JSON.stringify({ error: String(error.stack || error) }));
	}
})();

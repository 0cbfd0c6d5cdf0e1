// The sender of test_otlp_js.py.  One JSON object as argument, {url, token, compression: "gzip" | "none"}; one line out:
//	{metrics: RESULT, logs: RESULT, points: [{name, unit, attributes, time_ms, value}], records: [{...}]}
// RESULT is {code: 0} or {code, status, error}; points and records are what the SDK handed to its exporters, as the SDK holds it.
'use strict';
const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-proto');
const { OTLPLogExporter } = require('@opentelemetry/exporter-logs-otlp-proto');
const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
const { LoggerProvider, BatchLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { resourceFromAttributes } = require('@opentelemetry/resources');

const job = JSON.parse(process.argv[2]);
const options = (path) => ({ url: job.url + path, headers: { authorization: 'Bearer ' + job.token }, compression: job.compression,
	timeoutMillis: 20000 });
const ms = (time) => time[0] * 1000 + Math.floor(time[1] / 1e6);
const told = { metrics: null, logs: null, points: [], records: [] };

// An exporter that says what it was given, and what became of it.
function watch(exporter, name, see) {
	const send = exporter.export.bind(exporter);
	exporter.export = (items, done) => {
		see(items);
		send(items, (result) => {
			told[name] = { code: result.code, status: result.error && result.error.code, error: result.error && result.error.message };
			done(result);
		});
	};
	return exporter;
}

function seeMetrics(all) {
	for (const scope of all.scopeMetrics)
		for (const m of scope.metrics)
			for (const p of m.dataPoints)
				told.points.push({ name: m.descriptor.name, unit: m.descriptor.unit, attributes: p.attributes,
					time_ms: ms(p.endTime), value: p.value });
}

function seeLogs(records) {
	for (const r of records)
		told.records.push({ time_ms: ms(r.hrTime), severity: r.severityNumber, text: r.severityText, source: r.instrumentationScope.name,
			attributes: r.attributes, body: r.body instanceof Uint8Array ? Buffer.from(r.body).toString('base64') : r.body });
}

function measure(meter) {
	const orders = meter.createCounter('orders', { unit: '{order}', description: 'taken' });
	orders.add(3, { kind: 'a' });
	orders.add(4, { kind: 'a' });
	orders.add(2, { kind: 'b', n: 7, f: 1.5, t: true, list: ['x', 'ü"\\'] });
	meter.createUpDownCounter('queue.length').add(-2.5);
	meter.createGauge('temperature', { unit: 'Cel' }).record(21.25);
	meter.createObservableGauge('load').addCallback((result) => result.observe(0.125, { cpu: 0 }));
	meter.createObservableCounter('bytes', { unit: 'By' }).addCallback((result) => result.observe(9007199254740991));
	const took = meter.createHistogram('took', { unit: 'ms', advice: { explicitBucketBoundaries: [10, 20.5] } });
	for (const v of [5, 15, 15, 99])
		took.record(v, { path: '/' });
}

function write(logger) {
	const at = Date.now() - 5000;
	logger.emit({ timestamp: at, severityNumber: 17, severityText: 'Fehler', body: 'höllo "x"\n\u001b[31m', attributes: { a: 'b', n: 1 } });
	logger.emit({ timestamp: at + 1, severityNumber: 9, body: { nested: { a: [1, 'b', true, 2.5] } } });
	logger.emit({ timestamp: at + 2, body: new Uint8Array([0, 255, 7]) });
	logger.emit({ timestamp: at + 3, severityNumber: 5, body: 'ünïcode ☃ 𝄞' });
}

async function main() {
	const resource = resourceFromAttributes({ 'service.name': 'shop', 'service.version': '1.2' });
	const reader = new PeriodicExportingMetricReader({ exportIntervalMillis: 3600000,
		exporter: watch(new OTLPMetricExporter(options('/v1/metrics')), 'metrics', seeMetrics) });
	const meters = new MeterProvider({ resource, readers: [reader] });
	const logs = new LoggerProvider({ resource,
		processors: [new BatchLogRecordProcessor(watch(new OTLPLogExporter(options('/v1/logs')), 'logs', seeLogs))] });

	measure(meters.getMeter('shop-meter', '9'));
	write(logs.getLogger('shop-logger', '9'));
	await Promise.allSettled([meters.forceFlush(), logs.forceFlush()]);
	process.stdout.write(JSON.stringify(told) + '\n', () => process.exit(0));
}

main();

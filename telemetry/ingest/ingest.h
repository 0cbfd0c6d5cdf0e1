/* Telemetry comes in: a module of the hub.
 *
 *	POST /v1/metrics   OTLP metrics in protobuf; identity, gzip or zstd
 *	POST /v1/logs      OTLP logs
 *
 * Signed by the courier, with Mainstay-Stream and Mainstay-Sequence: the batch and its points are one
 * transaction, the signed reply is its acknowledgement. */
#pragma once

#include "appliance/serve/serve.h"

extern const struct serve_module ingest_module;

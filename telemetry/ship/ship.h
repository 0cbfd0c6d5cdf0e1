/* Shipping telemetry: the collector's two streams, as OTLP/HTTP with zstd.  A module of the courier. */
#pragma once

struct carrier;

int ship_init(struct carrier *c);

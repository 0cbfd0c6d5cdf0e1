/* A certificate authority of its own for development and the demo: ca.pem, ca.key, server.pem, server.key in
 * the hub's state folder.  In production the front has certificates of the operator's. */
#pragma once

/* Make what is missing in dir_fd: a CA (P-256, ten years) and a server certificate (P-256, two years) whose
 * subjectAltName is host (an address literal or a DNS name).  name stands in the subjects.  A server
 * certificate that ends within 30 days, or that is none, is made anew; a CA is not: REASON_MALFORMED (logged) where its
 * files are no certificate with its key.  Returns 0, that, or a fault. */
int tls_ensure(int dir_fd, const char *name, const char *host);

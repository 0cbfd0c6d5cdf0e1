/* The text of nginx's configuration; nothing runs here. */
#pragma once

struct buf;
struct nginx_config;

/* Append it.  Returns 0, REASON_MALFORMED (logged) where a path cannot stand in it, or a fault. */
int nginx_conf_write(struct buf *out, const struct nginx_config *config);

/* An engineer's login: an SSH signature over {v hub engineer key customers nonce not_after} makes `key` an HTTP key.
 *
 *	GET  /v1/login?engineer=NAME  ->  {"hub","nonce"}     the nonce is good for five minutes, once
 *	POST /v1/login  envelope      ->  {"keyid","engineer","not_after"} */
#pragma once

#include <stdint.h>

struct http_call;
struct serve;

enum {
	LOGIN_LIFE_S = 8 * 3600,
	LOGIN_NONCE_S = 300,
	LOGIN_BODY_MAX = 32 * 1024,
};

struct login {
	struct serve *serve;
	uint8_t secret[32]; /* of this process: makes and knows its nonces without remembering them */
};

int login_begin(struct login *l, struct http_call *call);
int login_finish(struct login *l, struct http_call *call);

/* "-----BEGIN LABEL-----", base64 in lines, "-----END LABEL-----": the dress of SSH signatures and
 * keys. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Append armoured text, 70 columns as ssh-keygen writes it. */
void armour_write(struct buf *out, const char *label, const void *p, size_t len);

/* Append the bytes within; false where the text is not one armour of that label with nothing but
 * white space around it, or out is full. */
bool armour_read(struct buf *out, const char *label, const void *text, size_t len);

/* Does the text begin like an armour of that label? */
bool armour_begins(const char *label, const void *text, size_t len);

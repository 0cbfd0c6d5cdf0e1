/* Between the collector and the process that shows its page: packets of one byte, and pages as memory files.
 *
 *	collector                                   page's process
 *	              <- PAGE_CHANNEL_TEXT, _OPENMETRICS   somebody asks for numbers in this format
 *	  _TEXT, _OPENMETRICS with a descriptor ->         here they are
 *	  PAGE_CHANNEL_NEW ->                              what was given is old
 *
 * The collector answers each format once for each of its rounds: however often it is asked, it prints no more. */
#pragma once

enum page_channel_word {
	PAGE_CHANNEL_TEXT,	  /* enum exposition_format, as far as pages go */
	PAGE_CHANNEL_OPENMETRICS,
	PAGE_CHANNEL_NEW,
	PAGE_CHANNEL_WORDS,
};

/* Neither waits.  send: fd is borrowed, -1 for none; returns 0 or -errno.  take: *ret_fd is the caller's, or -1; returns 0,
 * -EAGAIN, -ECONNRESET where the other end is gone, or -EPROTO where it says what is no word. */
int page_channel_send(int to, enum page_channel_word word, int fd);
int page_channel_take(int from, enum page_channel_word *ret, int *ret_fd);

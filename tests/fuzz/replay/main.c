/* Gives each file named on the command line to a fuzz target, without libFuzzer: corpora are replayed in
 * every check. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
	uint8_t *data = malloc(FILE_MAX);

	if (!data)
		return 4;
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f) {
			perror(argv[i]);
			return 4;
		}
		n = fread(data, 1, FILE_MAX, f);
		(void)fclose(f);
		(void)fprintf(stderr, "%s: %zu bytes\n", argv[i], n);
		(void)LLVMFuzzerTestOneInput(data, n);
	}
	free(data);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Appends a line to a file, by way of the C library's buffers; the exit code is the errno. It is
 * linked statically. */
#include <errno.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "a") : NULL;
    if (!file)
        return errno ? errno : EINVAL;
    return fputs("hello\n", file) < 0 || fclose(file) == EOF ? errno : 0;
}

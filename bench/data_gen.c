/* SPDX-License-Identifier: MIT */
/* The table that the data benchmarks work on: a time, ten floats with six decimals, three integers,
 * two categories; about 152 bytes a row. The same bytes for the same seed.
 *
 *   data_gen BYTES SEED > table.csv */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state;

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* About normal: the sum of twelve uniforms, in millionths of `sd`. */
static int64_t draw_normal(int64_t mean, int64_t sd)
{
    int64_t sum = -6000000;
    for (int i = 0; i < 12; i++)
        sum += (int64_t)(draw() % 1000001);
    return mean + sum * sd / 1000000;
}

static char *put_whole(char *p, uint64_t value, int digits)
{
    char reversed[24];
    int n = 0;
    do
        reversed[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0 || n < digits);
    while (n > 0)
        *p++ = reversed[--n];
    return p;
}

static char *put_millionths(char *p, int64_t value)
{
    if (value < 0)
        *p++ = '-';
    uint64_t positive = (uint64_t)(value < 0 ? -value : value);
    p = put_whole(p, positive / 1000000, 1);
    *p++ = '.';
    return put_whole(p, positive % 1000000, 6);
}

static char *put_text(char *p, const char *text)
{
    while (*text)
        *p++ = *text++;
    return p;
}

int main(int argc, char **argv)
{
    static const char *const cities[] = {"Paris", "Berlin", "Madrid", "Wien", "Oslo", "Roma"};
    static const char *const plans[] = {"basic", "plus", "premium"};
    if (argc != 3)
        return 2;
    uint64_t limit = strtoull(argv[1], NULL, 10), written = 0;
    state = strtoull(argv[2], NULL, 10);
    static char buffer[1 << 20];
    char *p = put_text(buffer, "ts,f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,age,visits,score,city,plan\n");
    for (uint64_t row = 0; written + (uint64_t)(p - buffer) < limit; row++) {
        uint64_t second = row % 86400;
        p = put_text(p, "2024-01-");
        p = put_whole(p, 1 + row / 86400 % 28, 2);
        *p++ = 'T';
        p = put_whole(p, second / 3600, 2);
        *p++ = ':';
        p = put_whole(p, second / 60 % 60, 2);
        *p++ = ':';
        p = put_whole(p, second % 60, 2);
        for (int i = 0; i < 10; i++) {
            *p++ = ',';
            p = put_millionths(p, draw_normal(50000000, 12000000));
        }
        *p++ = ',';
        p = put_whole(p, 18 + draw() % 70, 1);
        *p++ = ',';
        p = put_whole(p, draw() % 500, 1);
        *p++ = ',';
        p = put_whole(p, draw() % 100000, 1);
        *p++ = ',';
        p = put_text(p, cities[draw() % 6]);
        *p++ = ',';
        p = put_text(p, plans[draw() % 3]);
        *p++ = '\n';
        if (p > buffer + sizeof buffer - 512) {
            written += (uint64_t)(p - buffer);
            if (fwrite(buffer, 1, (size_t)(p - buffer), stdout) != (size_t)(p - buffer))
                return 1;
            p = buffer;
        }
    }
    return fwrite(buffer, 1, (size_t)(p - buffer), stdout) == (size_t)(p - buffer) ? 0 : 1;
}

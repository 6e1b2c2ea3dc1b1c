/* SPDX-License-Identifier: MIT */
#include "base/hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

struct ce_sha256 {
    EVP_MD_CTX *md;
};

struct ce_sha256 *ce_sha256_new(void)
{
    struct ce_sha256 *sha = calloc(1, sizeof *sha);
    if (!sha)
        return NULL;
    sha->md = EVP_MD_CTX_new();
    if (!sha->md || EVP_DigestInit_ex(sha->md, EVP_sha256(), NULL) != 1) {
        ce_sha256_free(sha);
        return NULL;
    }
    return sha;
}

void ce_sha256_add(struct ce_sha256 *sha, const void *data, size_t size)
{
    EVP_DigestUpdate(sha->md, data, size);
}

void ce_sha256_end(struct ce_sha256 *sha, char hex[CE_SHA256_HEX])
{
    unsigned char digest[32];
    EVP_DigestFinal_ex(sha->md, digest, NULL);
    for (size_t i = 0; i < sizeof digest; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
    ce_sha256_free(sha);
}

void ce_sha256_free(struct ce_sha256 *sha)
{
    if (!sha)
        return;
    EVP_MD_CTX_free(sha->md);
    free(sha);
}

int ce_sha256_data(const void *data, size_t size, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    ce_sha256_add(sha, data, size);
    ce_sha256_end(sha, ret_hex);
    return 0;
}

int ce_sha256_file(const char *path, char ret_hex[CE_SHA256_HEX], struct ce_error *err)
{
    ce_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ce_fail(err, errno, "cannot open '%s': %s", path, strerror(errno));
    struct ce_sha256 *sha = ce_sha256_new();
    if (!sha)
        return ce_fail_memory(err);
    char buffer[64 * 1024];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            ce_sha256_free(sha);
            return ce_fail(err, errno, "cannot read '%s': %s", path, strerror(errno));
        }
        if (n == 0)
            break;
        ce_sha256_add(sha, buffer, (size_t)n);
    }
    ce_sha256_end(sha, ret_hex);
    return 0;
}

uint32_t ce_crc32c(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

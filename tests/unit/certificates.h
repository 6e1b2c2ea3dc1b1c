/* SPDX-License-Identifier: MIT */
/* Certificates made by the test itself, in a folder of its own: an authority, and what it signs. */
#ifndef CE_TESTS_CERTIFICATES_H
#define CE_TESTS_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "check.h"

struct certificates {
    char folder[64];
    EVP_PKEY *authority_key;
    X509 *authority;
    /* Files. */
    char *ca, *key, *certificate; /* for localhost and 127.0.0.1 */
    char *other_name, *expired;   /* certificates of the same key */
    char *other_ca, *other_key;   /* of somebody else */
};

static inline X509 *certificate_new(EVP_PKEY *key, const char *common_name, long from, long until)
{
    X509 *certificate = X509_new();
    static long serial;
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_pubkey(certificate, key);
    return certificate;
}

static inline void certificate_extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

static inline char *certificate_save(const struct certificates *all, const char *name,
                                     X509 *certificate)
{
    char *path = ce_format("%s/%s", all->folder, name);
    FILE *file = fopen(path, "we");
    PEM_write_X509(file, certificate);
    fclose(file);
    return path;
}

static inline char *key_save(const struct certificates *all, const char *name, EVP_PKEY *key)
{
    char *path = ce_format("%s/%s", all->folder, name);
    FILE *file = fopen(path, "we");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    return path;
}

static inline X509 *authority_new(EVP_PKEY *key, const char *name)
{
    X509 *authority = certificate_new(key, name, -3600, 3600);
    X509_set_issuer_name(authority, X509_get_subject_name(authority));
    certificate_extend(authority, authority, NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(authority, key, EVP_sha256());
    return authority;
}

static inline char *server_save(const struct certificates *all, const char *file, EVP_PKEY *key,
                                const char *names, long from, long until)
{
    X509 *certificate = certificate_new(key, "server", from, until);
    X509_set_issuer_name(certificate, X509_get_subject_name(all->authority));
    certificate_extend(certificate, all->authority, NID_subject_alt_name, names);
    X509_sign(certificate, all->authority_key, EVP_sha256());
    char *path = certificate_save(all, file, certificate);
    X509_free(certificate);
    return path;
}

static inline void certificates_make(struct certificates *all)
{
    *all = (struct certificates){.folder = "/tmp/ce-certificates-XXXXXX"};
    if (!mkdtemp(all->folder))
        abort();
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256");
    all->authority_key = EVP_EC_gen("P-256");
    all->authority = authority_new(all->authority_key, "authority");
    X509 *other = authority_new(other_key, "another authority");
    all->ca = certificate_save(all, "ca.pem", all->authority);
    all->other_ca = certificate_save(all, "other-ca.pem", other);
    all->key = key_save(all, "key.pem", key);
    all->other_key = key_save(all, "other-key.pem", other_key);
    all->certificate =
        server_save(all, "server.pem", key, "DNS:localhost,IP:127.0.0.1", -3600, 3600);
    all->other_name = server_save(all, "other.pem", key, "DNS:model.example", -3600, 3600);
    all->expired = server_save(all, "expired.pem", key, "DNS:localhost,IP:127.0.0.1", -7200, -3600);
    X509_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
}

static inline void certificates_done(struct certificates *all)
{
    (void)ce_tree_remove(all->folder, NULL);
    X509_free(all->authority);
    EVP_PKEY_free(all->authority_key);
    char *files[] = {all->ca,      all->key,      all->certificate, all->other_name,
                     all->expired, all->other_ca, all->other_key};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        free(files[i]);
}

#endif

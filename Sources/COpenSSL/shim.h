// OpenSSL 3: TLS 1.3, SHA-256, X.509. Swift cannot call macros; each one that is needed has one `static inline` twin here,
// prefixed `COpenSSL_`.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

static inline int COpenSSL_SSL_CTX_set_min_proto_version(SSL_CTX *_Nonnull context, int version) {
    return SSL_CTX_set_min_proto_version(context, version);
}

static inline long COpenSSL_SSL_CTX_set_mode(SSL_CTX *_Nonnull context, long mode) {
    return SSL_CTX_set_mode(context, mode);
}

static inline EVP_PKEY *_Nullable COpenSSL_EVP_EC_gen(const char *_Nonnull curve) {
    return EVP_EC_gen(curve);
}

/// The bytes that a memory BIO holds; valid until it is written to or freed.
static inline long COpenSSL_BIO_get_mem_data(BIO *_Nonnull bio, char *_Nullable *_Nonnull bytes) {
    return BIO_get_mem_data(bio, bytes);
}

#endif

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
#include <string.h>

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

static inline void COpenSSL_SSL_CTX_set_session_cache_off(SSL_CTX *_Nonnull context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline void COpenSSL_SSL_CTX_set_read_ahead(SSL_CTX *_Nonnull context, size_t bytes) {
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, bytes);
}

static inline int COpenSSL_SSL_CTX_add1_chain_cert(SSL_CTX *_Nonnull context, X509 *_Nonnull certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

/// Gives no passphrase (pem_password_cb(3)). Without a callback OpenSSL asks for one on the terminal when it is handed encrypted PEM, and waits.
static inline int COpenSSL_no_passphrase(char *_Nullable buffer, int size, int writing, void *_Nullable user) {
    (void)buffer;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static inline int COpenSSL_ERR_GET_REASON(unsigned long error) { return ERR_GET_REASON(error); }

/// Copies the only URI among a certificate's subject alternative names, with a zero at the end. 1 on success; 0 if there is none, more than
/// one, or it does not fit or contains a zero.
static inline int COpenSSL_certificate_uri(const X509 *_Nonnull certificate, char *_Nonnull target, size_t capacity) {
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int found = 0;
    for (int index = 0; index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        if (name->type != GEN_URI) continue;
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        size_t length = (size_t)ASN1_STRING_length(uri);
        const unsigned char *bytes = ASN1_STRING_get0_data(uri);
        if (found || length >= capacity || memchr(bytes, 0, length)) {
            found = 0;
            break;
        }
        memcpy(target, bytes, length);
        target[length] = 0;
        found = 1;
    }
    GENERAL_NAMES_free(names);
    return found;
}

/// Verifies the peer's certificate against that authority of its own chain whose DER form has the SHA-256 `pin` (32 bytes).
/// X509_V_OK, or why not (x509_vfy.h).
static inline long COpenSSL_verify_pinned(SSL *_Nonnull ssl, const unsigned char *_Nonnull pin) {
    long result = X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN;
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    X509 *authority = NULL;
    for (int index = 0; index < sk_X509_num(chain); index++) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned int length = 0;
        X509 *candidate = sk_X509_value(chain, index);
        if (X509_digest(candidate, EVP_sha256(), digest, &length) == 1 && length == 32 && CRYPTO_memcmp(digest, pin, 32) == 0)
            authority = candidate;
    }
    if (authority && certificate && store && verification && X509_STORE_add_cert(store, authority) == 1
        && X509_STORE_CTX_init(verification, store, certificate, chain) == 1
        && X509_STORE_CTX_set_purpose(verification, X509_PURPOSE_SSL_SERVER) == 1) {
        result = X509_verify_cert(verification) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(verification);
    }
    X509_STORE_CTX_free(verification);
    X509_STORE_free(store);
    X509_free(certificate);
    return result;
}

#endif

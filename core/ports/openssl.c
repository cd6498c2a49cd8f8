/* openssl.c - one signature, judged by the OpenSSL 3 that is in the process already. It knows eight of its functions, by name;
 * it must never load a library, nor leave an error behind that TLS would take for its own. Host code. */
#include "host.h"

#include <dlfcn.h>
#include <string.h>

typedef void *(*make_fn)(void);
typedef void *(*read_fn)(void **, const unsigned char **, long);
typedef int (*begin_fn)(void *, void **, const void *, void *, void *);
typedef int (*judge_fn)(void *, const unsigned char *, size_t, const unsigned char *, size_t);
typedef void (*free_fn)(void *);
typedef void (*clear_fn)(void);

struct openssl {
  read_fn read_key;
  make_fn context, sha256;
  begin_fn begin;
  judge_fn judge;
  free_fn free_key, free_context;
  clear_fn clear;
};

/* What stands before a public key in a SubjectPublicKeyInfo (RFC 5480 2, RFC 8410 4). */
static const uint8_t P256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                               0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
static const uint8_t ED25519[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
enum { POINT = 65, RAW = 32, HALF = 32 };

static int find(void *library, const char *name, void *place) {
  void *found = dlsym(library, name);
  memcpy(place, &found, sizeof found); /* ISO C has no other way from an object pointer to a function */
  return found != NULL;
}

static int look(struct openssl *o) {
  void *library = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_NOLOAD);
  if (library == NULL) return 0;
  int all = find(library, "d2i_PUBKEY", &o->read_key) && find(library, "EVP_MD_CTX_new", &o->context) &&
            find(library, "EVP_sha256", &o->sha256) && find(library, "EVP_DigestVerifyInit", &o->begin) &&
            find(library, "EVP_DigestVerify", &o->judge) && find(library, "EVP_PKEY_free", &o->free_key) &&
            find(library, "EVP_MD_CTX_free", &o->free_context) && find(library, "ERR_clear_error", &o->clear);
  (void)dlclose(library); /* whoever loaded it keeps it */
  return all;
}

/* One half of an ES256 signature as a DER INTEGER; its length. */
static size_t integer(const uint8_t *half, uint8_t *out) {
  size_t skip = 0;
  while (skip < HALF - 1 && half[skip] == 0) skip++;
  size_t sign = half[skip] >> 7, length = HALF - skip;
  out[0] = 0x02;
  out[1] = (uint8_t)(length + sign);
  out[2] = 0;
  memcpy(out + 2 + sign, half + skip, length);
  return 2 + sign + length;
}

static size_t sequence(const uint8_t *sig, uint8_t *out) {
  size_t length = integer(sig, out + 2);
  length += integer(sig + HALF, out + 2 + length);
  out[0] = 0x30;
  out[1] = (uint8_t)length;
  return 2 + length;
}

static int judged(const struct openssl *o, void *key, const void *hash, const uint8_t *msg, size_t msg_len,
                  const uint8_t *sig, size_t sig_len) {
  void *context = o->context();
  int good = context != NULL && o->begin(context, NULL, hash, NULL, key) == 1 &&
             o->judge(context, sig, sig_len, msg, msg_len) == 1;
  o->free_context(context);
  return good;
}

int nrt_openssl_verify(int alg, const uint8_t *key, uint32_t key_len, const uint8_t *msg, uint32_t msg_len,
                       const uint8_t *sig) {
  struct openssl o;
  if (!look(&o)) return NRT_E_STATE;
  int es256 = alg == NRT_ES256;
  size_t prefix = es256 ? sizeof P256 : sizeof ED25519, length = es256 ? POINT : RAW;
  if ((!es256 && alg != NRT_ED25519) || key_len != length || (es256 && key[0] != 4)) return NRT_E_TRUST;
  uint8_t info[sizeof P256 + POINT], der[2 * (HALF + 3) + 2];
  memcpy(info, es256 ? P256 : ED25519, prefix);
  memcpy(info + prefix, key, length);
  const unsigned char *at = info;
  void *read = o.read_key(NULL, &at, (long)(prefix + length));
  size_t der_len = es256 ? sequence(sig, der) : 0;
  int good = read != NULL && judged(&o, read, es256 ? o.sha256() : NULL, msg, msg_len, es256 ? der : sig,
                                    es256 ? der_len : 2 * (size_t)HALF);
  o.free_key(read);
  o.clear();
  return good ? NRT_OK : NRT_E_TRUST;
}

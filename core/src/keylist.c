/* keylist.c - lists of keys that roots sign (docs/spec/keylist.md), read where they lie. It knows their bytes, how signatures are
 * counted and what may follow what; it must never believe a list in part, nor go back to an older one. Linked only where a port
 * calls nrt_keys_begin(). */
#include <string.h>

#include "cbor.h"
#include "nrt_keys.h"

enum { VERSION = 1, ROOTS, SUCCESSORS, FAMILIES, TICKET, ISSUED };
enum { LEAST = 2, MAX_ROOTS = 5, MAX_PAIRS = 10, MAX_FAMILIES = 64, MAX_MODELS = 256, MARK = 8, SIGNATURE = 64 };

static const uint8_t DOMAIN[19] = "neurath key list 1";

/* Some items in a row, where they lie: an array without its head. */
struct row {
    struct nrt_cbor at;
    uint32_t n;
};

struct roots {
    struct nrt_view whole;
    struct row keys;
    uint32_t threshold;
};

/* A list that is well formed, whoever signed it. */
struct list {
    struct nrt_view body;
    struct row signatures;
    uint32_t version;
    struct roots roots;
    struct roots successors; /* n 0: the roots */
    struct row families;
    struct nrt_view ticket;  /* len 0: nobody's tickets are taken */
};

static int same(struct nrt_view a, struct nrt_view b) { return a.len == b.len && memcmp(a.at, b.at, a.len) == 0; }

static int empty(struct nrt_view v) { return v.len == 0; }

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

/* A byte of algorithm and the key. */
static int read_key(struct nrt_cbor *c, struct nrt_view *key)
{
    if (nrt_cbor_string(c, NRT_BYTES, key) != NRT_OK || empty(*key))
        return NRT_E_FORMAT;
    uint32_t want = key->at[0] == NRT_ES256 ? 66 : key->at[0] == NRT_ED25519 ? 33 : 0;
    return key->len == want ? NRT_OK : NRT_E_FORMAT;
}

/* One to `most` keys, each another. */
static int read_keys(struct nrt_cbor *c, uint32_t most, struct row *out)
{
    if (nrt_cbor_head(c, NRT_ARRAY, &out->n) != NRT_OK || out->n == 0 || out->n > most)
        return NRT_E_FORMAT;
    out->at = *c;
    for (uint32_t i = 0; i < out->n; i++) {
        struct nrt_cbor before = out->at;
        struct nrt_view key;
        if (read_key(c, &key) != NRT_OK)
            return NRT_E_FORMAT;
        for (uint32_t k = 0; k < i; k++) {
            struct nrt_view other;
            if (read_key(&before, &other) != NRT_OK || same(key, other))
                return NRT_E_FORMAT;
        }
    }
    return NRT_OK;
}

static int read_roots(struct nrt_cbor *c, struct roots *out)
{
    out->whole.at = c->at;
    if (nrt_cbor_expect(c, NRT_MAP, 2) != NRT_OK || nrt_cbor_expect(c, NRT_UINT, 1) != NRT_OK ||
        nrt_cbor_head(c, NRT_UINT, &out->threshold) != NRT_OK || nrt_cbor_expect(c, NRT_UINT, 2) != NRT_OK ||
        read_keys(c, MAX_ROOTS, &out->keys) != NRT_OK)
        return NRT_E_FORMAT;
    out->whole.len = (uint32_t)(c->at - out->whole.at);
    return out->threshold >= LEAST && out->threshold <= out->keys.n ? NRT_OK : NRT_E_FORMAT;
}

/* A name of a model: at most 64 characters of printable ASCII, as `neurath key` makes them. */
static int read_name(struct nrt_cbor *c, struct nrt_view *name)
{
    if (nrt_cbor_string(c, NRT_TEXT, name) != NRT_OK || name->len > NRT_MAX_NAME)
        return NRT_E_FORMAT;
    for (uint32_t i = 0; i < name->len; i++)
        if (name->at[i] < 0x20 || name->at[i] > 0x7E)
            return NRT_E_FORMAT;
    return NRT_OK;
}

/* The keys of the first family that has this model, and where it names it; NRT_E_TRUST: none has. NRT_E_FORMAT as well, for
 * families are read here the first time. */
static int find(struct row families, struct nrt_view model, struct nrt_view *where, struct row *keys)
{
    struct nrt_cbor *c = &families.at;
    for (uint32_t i = 0; i < families.n; i++) {
        uint32_t names;
        int found = 0;
        if (nrt_cbor_expect(c, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_head(c, NRT_ARRAY, &names) != NRT_OK || names == 0)
            return NRT_E_FORMAT;
        for (uint32_t k = 0; k < names; k++) {
            struct nrt_view name;
            if (read_name(c, &name) != NRT_OK)
                return NRT_E_FORMAT;
            if (!found && same(name, model)) {
                *where = name;
                found = 1;
            }
        }
        if (read_keys(c, NRT_MAX_KEYS, keys) != NRT_OK)
            return NRT_E_FORMAT;
        if (found)
            return NRT_OK;
    }
    return NRT_E_TRUST;
}

/* No model twice: the first place that names it is where it stands. */
static int each_once(struct row families)
{
    struct nrt_cbor c = families.at;
    uint32_t all = 0;
    for (uint32_t i = 0; i < families.n; i++) {
        struct row keys;
        uint32_t names;
        if (nrt_cbor_expect(&c, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_head(&c, NRT_ARRAY, &names) != NRT_OK ||
            names == 0 || names > MAX_MODELS - all)
            return NRT_E_FORMAT;
        all += names;
        for (; names > 0; names--) {
            struct nrt_view name, first;
            if (read_name(&c, &name) != NRT_OK || find(families, name, &first, &keys) != NRT_OK || first.at != name.at)
                return NRT_E_FORMAT;
        }
        if (read_keys(&c, NRT_MAX_KEYS, &keys) != NRT_OK)
            return NRT_E_FORMAT;
    }
    return NRT_OK;
}

static int read_families(struct nrt_cbor *c, struct row *out)
{
    if (nrt_cbor_head(c, NRT_ARRAY, &out->n) != NRT_OK || out->n > MAX_FAMILIES)
        return NRT_E_FORMAT;
    out->at = *c;
    for (uint32_t i = 0; i < out->n; i++)
        if (nrt_cbor_skip(c, NULL) != NRT_OK)
            return NRT_E_FORMAT;
    return each_once(*out);
}

/* The next key of the map is this one. */
static int next_is(struct nrt_cbor *c, uint32_t key, uint32_t *left)
{
    if (*left == 0 || c->left == 0 || c->at[0] != key)
        return 0;
    --*left;
    return nrt_cbor_expect(c, NRT_UINT, key) == NRT_OK;
}

/* Fields in their one order; what is not known, or a default that is spelled out, is refused. */
static int read_body(struct list *l)
{
    struct nrt_cbor c = nrt_cbor_in(l->body);
    uint32_t left, issued;
    if (nrt_cbor_head(&c, NRT_MAP, &left) != NRT_OK || !next_is(&c, VERSION, &left) ||
        nrt_cbor_head(&c, NRT_UINT, &l->version) != NRT_OK || l->version == 0 || !next_is(&c, ROOTS, &left) ||
        read_roots(&c, &l->roots) != NRT_OK)
        return NRT_E_FORMAT;
    if (next_is(&c, SUCCESSORS, &left) &&
        (read_roots(&c, &l->successors) != NRT_OK || same(l->roots.whole, l->successors.whole)))
        return NRT_E_FORMAT;
    if (!next_is(&c, FAMILIES, &left) || read_families(&c, &l->families) != NRT_OK)
        return NRT_E_FORMAT;
    if (next_is(&c, TICKET, &left) && read_key(&c, &l->ticket) != NRT_OK)
        return NRT_E_FORMAT;
    if (!next_is(&c, ISSUED, &left) || nrt_cbor_head(&c, NRT_UINT, &issued) != NRT_OK || left != 0)
        return NRT_E_FORMAT;
    return nrt_cbor_end(&c);
}

static int read_pair(struct nrt_cbor *c, struct nrt_view *mark, struct nrt_view *signature)
{
    if (nrt_cbor_expect(c, NRT_ARRAY, 2) != NRT_OK || nrt_cbor_string(c, NRT_BYTES, mark) != NRT_OK || mark->len != MARK ||
        nrt_cbor_string(c, NRT_BYTES, signature) != NRT_OK || signature->len != SIGNATURE)
        return NRT_E_FORMAT;
    return NRT_OK;
}

static int read_list(const uint8_t *data, uint32_t len, struct list *l)
{
    struct nrt_cbor c = {data, len};
    struct nrt_view last = {NULL, 0}, mark, signature;
    memset(l, 0, sizeof *l);
    if (len > NRT_MAX_KEY_LIST || nrt_cbor_expect(&c, NRT_MAP, 2) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, 1) != NRT_OK ||
        nrt_cbor_string(&c, NRT_BYTES, &l->body) != NRT_OK || nrt_cbor_expect(&c, NRT_UINT, 2) != NRT_OK ||
        nrt_cbor_head(&c, NRT_ARRAY, &l->signatures.n) != NRT_OK || l->signatures.n > MAX_PAIRS)
        return NRT_E_FORMAT;
    l->signatures.at = c;
    for (uint32_t i = 0; i < l->signatures.n; i++, last = mark)
        if (read_pair(&c, &mark, &signature) != NRT_OK || (last.len > 0 && memcmp(last.at, mark.at, MARK) >= 0))
            return NRT_E_FORMAT;
    return nrt_cbor_end(&c) == NRT_OK ? read_body(l) : NRT_E_FORMAT;
}

/* ---- signatures ---------------------------------------------------------------------------------------------------- */

static void digest_of(struct nrt_view v, uint8_t out[NRT_DIGEST]) { nrt_sha256(v.at, v.len, out); }

/* 1 where the list has this key's signature, and it holds. */
static int has_signed(const struct nrt_port *p, const struct list *l, const uint8_t *message, uint32_t len, struct nrt_view key)
{
    struct nrt_cbor c = l->signatures.at;
    uint8_t name[NRT_DIGEST];
    digest_of(key, name);
    for (uint32_t i = 0; i < l->signatures.n; i++) {
        struct nrt_view mark, signature;
        if (read_pair(&c, &mark, &signature) != NRT_OK)
            return 0;
        if (memcmp(mark.at, name, MARK) == 0)
            return p->verify(p->ctx, key.at[0], key.at + 1, key.len - 1, message, len, signature.at) == NRT_OK;
    }
    return 0;
}

/* Whether as many of these roots have signed as they ask for; each is another, so that none counts twice. */
static int enough(const struct nrt_port *p, const struct list *l, const struct roots *roots)
{
    struct nrt_cbor c = roots->keys.at;
    uint8_t message[sizeof DOMAIN + NRT_DIGEST];
    uint32_t count = 0;
    memcpy(message, DOMAIN, sizeof DOMAIN);
    digest_of(l->body, message + sizeof DOMAIN);
    for (uint32_t i = 0; i < roots->keys.n; i++) {
        struct nrt_view key;
        if (read_key(&c, &key) != NRT_OK)
            return 0;
        count += (uint32_t)has_signed(p, l, message, sizeof message, key);
    }
    return count >= roots->threshold;
}

/* ---- what counts --------------------------------------------------------------------------------------------------- */

static void put_key(struct nrt_view from, struct nrt_key *to)
{
    to->alg = from.at[0];
    to->len = from.len - 1;
    memcpy(to->key, from.at + 1, to->len);
}

static void believe_nobody(struct nrt_birth *b)
{
    memset(b->release, 0, sizeof b->release);
    memset(&b->ticket, 0, sizeof b->ticket);
    b->n_release = 0;
}

/* The list's keys in the place of those before; none where no family has this model. */
static void believe(struct nrt_birth *b, const struct list *l)
{
    struct nrt_view model = {(const uint8_t *)b->model, 0}, where, key;
    struct row keys;
    while (model.len < NRT_MAX_NAME && b->model[model.len] != 0)
        model.len++;
    believe_nobody(b);
    if (find(l->families, model, &where, &keys) == NRT_OK)
        for (; b->n_release < keys.n && read_key(&keys.at, &key) == NRT_OK; b->n_release++)
            put_key(key, &b->release[b->n_release]);
    if (!empty(l->ticket))
        put_key(l->ticket, &b->ticket);
}

/* Flash first: what was taken once is never taken back by a power cut. A log that was lost says it from its first record on. */
static int record(struct nrt_core *c, uint32_t version)
{
    if (version <= c->facts.key_list)
        return NRT_OK;
    if (c->log.mounted)
        return nrt_accept_key_list(c, version);
    c->facts.key_list = version;
    return NRT_OK;
}

void nrt_keys_begin(struct nrt_keys *k, struct nrt_core *c, const struct nrt_birth *b)
{
    if (b != &k->now)
        k->now = *b;
    memset((uint8_t *)k + sizeof k->now, 0, sizeof *k - sizeof k->now);
    k->core = c;
    memcpy(k->root, k->now.root, NRT_DIGEST);
    if (c->facts.key_list > 0)
        believe_nobody(&k->now);
}

int nrt_keys_take(struct nrt_keys *k, const uint8_t *list, uint32_t len)
{
    const struct nrt_port *p = k->core->port;
    uint8_t digest[NRT_DIGEST];
    struct list l;
    int rc = read_list(list, len, &l);
    if (rc != NRT_OK)
        return rc;
    if (k->version == UINT32_MAX || l.version != k->version + 1)
        return NRT_E_STATE;
    digest_of(l.roots.whole, digest);
    if (memcmp(digest, k->root, NRT_DIGEST) != 0 || !enough(p, &l, &l.roots) ||
        (l.successors.keys.n > 0 && !enough(p, &l, &l.successors)))
        return NRT_E_TRUST;
    rc = record(k->core, l.version);
    if (rc != NRT_OK)
        return rc;
    digest_of(l.successors.keys.n > 0 ? l.successors.whole : l.roots.whole, k->root);
    k->version = l.version;
    if (l.version >= k->core->facts.key_list)
        believe(&k->now, &l);
    return NRT_OK;
}

# tls.mk - what is taken of BearSSL: ECDSA over P-256, in 15-bit arithmetic.
TLS := ec/ec_prime_i15.c ec/ecdsa_i15_vrfy_raw.c ec/ecdsa_i15_bits.c ec/ec_secp256r1.c codec/ccopy.c \
  $(patsubst %,int/i15_%.c,add bitlen decmod decode decred encode fmont iszero modpow moddiv montmul muladd ninv15 reduce rshift sub tmont)
# Only P-256 is ever named: the tables of the other curves stay out.
NO_OTHER_CURVE := -Wl,--defsym=br_secp384r1=0,--defsym=br_secp521r1=0

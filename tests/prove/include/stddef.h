#ifndef PROVE_STDDEF_H
#define PROVE_STDDEF_H
typedef unsigned int size_t;
#define NULL ((void *)0)
#define offsetof(t, m) __builtin_offsetof(t, m)
#endif

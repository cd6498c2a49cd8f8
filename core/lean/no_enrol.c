/* no_enrol.c - in place of smp_enrol.c: the birth record is written where the board is made, and the wire answers "not supported" to
 * who would enrol it. */
#include "smp_wire.h"

void nrt_answer_enrol(struct nrt_smp *s, struct nrt_reply *a) { (void)s, (void)a; }

/* sure.c - in place of layout_check.c where the map is compiled in and came out of `neurath model header`, which checked it with that
 * file. Resume mode is not linked beside it: a map that asks for it is refused. */
#include "layout.h"

int nrt_layout_check(const struct nrt_layout *l) { return l->resume != 0 || l->scratch.len == 0 ? NRT_E_ARG : NRT_OK; }

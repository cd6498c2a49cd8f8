/* numbers.h - what the numbers of the control table are about, profiles 2 to 4 (docs/spec/delta.md 8.6). */
#ifndef NRT_NUMBERS_H
#define NRT_NUMBERS_H

enum nrt_number { NRT_NUMBER_GAP = 0, NRT_NUMBER_LENGTH = 1, NRT_NUMBER_TURN = 2, NRT_NUMBER_SHIFTS = 4, NRT_NUMBER_STEP = 5,
                  NRT_NUMBER_BY = 6, NRT_NUMBER_ALSO = 7, NRT_NUMBER_SECTION = 8, NRT_NUMBER_LIFT = 9, NRT_NUMBERS = 10 };

#endif

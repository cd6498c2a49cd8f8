/* fuzz_coap.c - libFuzzer target: the answers that the boot core's CoAP client takes from the air (firmware/coap.c). The first
 * byte chooses what is asked: one exchange, a heartbeat, a whole answer of several blocks, a series, each with tags or without;
 * behind it come datagrams, each with a byte that says whether message id and token are made right, and two bytes of length. Build and run with core/fuzz/run.sh. */
#include <stdlib.h>

#define BOARD_SX1
#include "../../firmware/coap.c"

static const uint8_t *came;
static size_t left;
static uint32_t clock_now;

uint32_t fw_millis(void) { return clock_now += 50; }
uint32_t fw_ticks(void) { return clock_now; }
void boot_poll(void) {}
int boot_wire_busy(void) { return 0; }

void fw_air_send(const uint8_t *data, uint32_t len)
{
    volatile uint8_t sum = 0;
    if (len == 0 || len > FW_AIR_MOST)
        abort();
    for (uint32_t i = 0; i < len; i++)
        sum ^= data[i];
}

/* The next datagram; one in two is an answer to what was asked last, as far as its head goes. */
uint32_t fw_air_take(uint8_t *data, uint32_t size)
{
    if (left < 3)
        return 0;
    uint32_t how = came[0], len = (uint32_t)(came[1] << 8 | came[2]) % (FW_AIR_MOST + 1u);
    came += 3;
    left -= 3;
    if (len > left)
        len = (uint32_t)left;
    if (len > size)
        abort();
    memcpy(data, came, len);
    came += len;
    left -= len;
    if ((how & 1u) && len >= 6) {
        data[0] = (uint8_t)(0x42u | (data[0] & 0x30u));
        memcpy(data + 2, out + 2, 4);
    }
    return len;
}

/* A guard that takes every second answer: what it checks is not what is asked here, but what comes behind it. */
static uint32_t guard_begin(uint8_t value[FW_TAGGED])
{
    memset(value, 0, FW_TAGGED);
    value[0] = 1;
    return 1u + FW_TAG;
}

static void guard_seal(uint8_t *datagram, uint32_t len, uint32_t option, uint32_t end)
{
    if (option > end || end > len || end < FW_TAG)
        abort();
    memset(datagram + end - FW_TAG, 0xa5, FW_TAG);
}

static uint32_t guard_open(const uint8_t *datagram, uint32_t len)
{
    return len > 6u + FW_TAG && (datagram[len - 1u] & 1u) ? len - FW_TAG : 0;
}

static const struct fw_guard stub = {guard_begin, guard_seal, guard_open};

static void ask(uint8_t what, uint8_t *room, uint32_t size)
{
    static const uint8_t body[600] = {1};
    struct fw_exchange x = {.method = what & 8u ? FW_POST : FW_GET, .path = {"c", "unit", 0}, .token = "t", .body = body,
                            .body_len = what & 8u ? sizeof body : 0, .answer = room, .room = size};
    int rc = what & 1u ? fw_coap_whole(&x) : what & 2u ? fw_coap_beat(&x, 500) : fw_coap_ask(&x);
    if (rc == NRT_OK && x.len > size)
        abort();
}

static void series(uint8_t *room, uint32_t size)
{
    struct fw_series s = {.path = {"f", "0123456789abcdef", 0}, .token = "t", .data = room, .size = size};
    for (int i = 0; i < 4 && fw_coap_series(&s) == NRT_MORE; i++)
        if (s.held > s.size)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4 || size > 6000)
        return 0;
    uint32_t room = 1u + data[1] * 40u;
    uint8_t *answer = malloc(room);
    if (!answer)
        abort();
    clock_now = part = asked = 0;
    rest = 0;
    waited = FIRST_WAIT;
    rests = REST;
    fw_coap_open(data[0]);
    fw_coap_guard(data[0] & 16u ? &stub : 0);
    came = data + 2;
    left = size - 2;
    if (data[0] & 4u)
        series(answer, room);
    else
        ask(data[0], answer, room);
    free(answer);
    return 0;
}

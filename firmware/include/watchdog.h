/* watchdog.h - restarts the machine when nobody has called for a while. */
#ifndef FW_WATCHDOG_H
#define FW_WATCHDOG_H

#define FW_WATCHDOG_MS 8000u

void fw_watchdog_start(void);
void fw_watchdog_pet(void);
void fw_watchdog_stop(void);

#endif

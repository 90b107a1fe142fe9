/* banned.h - functions that are compile errors here. Included first in every file by the build (-include). */
#ifndef AUTODB_BANNED_H
#define AUTODB_BANNED_H

#ifndef __cplusplus
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gets localtime gmtime ctime asctime
#endif

#endif

/* report.h - the result of migration.analyze (contract section 4), printed for people. */
#ifndef AUTODB_CLI_REPORT_H
#define AUTODB_CLI_REPORT_H

#include <jansson.h>
#include <stdio.h>

/* Fits the terminal's width, 72 to 100 columns (96 when `out` is none); colour only on a terminal and without NO_COLOR. */
void report_print(FILE *out, const json_t *result);

#endif

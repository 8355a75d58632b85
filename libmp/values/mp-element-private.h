/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "../base/mp-value-type.h"

G_BEGIN_DECLS

/* One number in shared memory, aligned to its size. Whatever touches it does so
 * by a single atomic instruction of that width, sequentially consistent, so that
 * a process that is killed has done it or not.
 *
 * The memory is anybody's: a boolean may be any byte, and everything but 0 is TRUE. */

/* As it is named in messages, with its article: “an int8”. */
const char *mp_element_describe (MpValueType type);

/* As an unsigned number of its width, checked. */
gboolean mp_element_bits_from_variant (MpValueType type,
                                       GVariant *value,
                                       guint64 *bits,
                                       GError **error);
/* The same from a number of an array of variants, of type @code, at @data. */
gboolean mp_element_bits_from_memory (MpValueType type,
                                      char code,
                                      gconstpointer data,
                                      guint64 *bits,
                                      GError **error);
gdouble mp_element_bits_to_double (MpValueType type, guint64 bits);
gint64 mp_element_bits_to_int (MpValueType type, guint64 bits);

GVariant *mp_element_get (MpValueType type, gpointer memory); /* not floating */
gboolean mp_element_set (MpValueType type, gpointer memory, GVariant *value, GError **error);

/* All of these are MP_ERROR_TYPE where @type is none of integers, or of numbers
 * with a fraction. Unsigned numbers of 64 bits are two's complement. */
gint64 mp_element_get_int (MpValueType type, gpointer memory, GError **error);
gboolean mp_element_set_int (MpValueType type, gpointer memory, gint64 value, GError **error);
/* The sum, which wraps around. */
gint64 mp_element_add (MpValueType type, gpointer memory, gint64 delta, GError **error);
gboolean mp_element_compare_exchange (MpValueType type,
                                      gpointer memory,
                                      gint64 expected,
                                      gint64 desired,
                                      gint64 *found,
                                      GError **error);

typedef enum
{
  MP_ELEMENT_EXCHANGE,
  MP_ELEMENT_AND,
  MP_ELEMENT_OR,
  MP_ELEMENT_XOR
} MpElementOperation;

/* What was there before. */
gint64 mp_element_fetch (MpValueType type,
                         gpointer memory,
                         MpElementOperation operation,
                         gint64 operand,
                         GError **error);

gdouble mp_element_get_double (MpValueType type, gpointer memory, GError **error);
gboolean mp_element_set_double (MpValueType type, gpointer memory, gdouble value, GError **error);

G_END_DECLS

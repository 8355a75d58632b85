/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdatomic.h>
#include <stdint.h>

G_BEGIN_DECLS

/* What the fuzzing targets share. An input is a script: what the honest process
 * does, and what a hostile one writes into the shared memory in between, and
 * while the honest one sleeps.
 *
 * Everything is in one thread, and time is not the machine's: it passes when
 * somebody sleeps, or looks at the clock. So an input does the same each time,
 * and a timeout of a minute takes no longer than one of a microsecond. */

typedef struct
{
  const guint8 *data;
  gsize size;
  gsize at;
} FuzzInput;

static inline gboolean
fuzz_has_more (const FuzzInput *self)
{
  return self->at < self->size;
}

/* Zeroes behind the end. */
static inline guint8
fuzz_u8 (FuzzInput *self)
{
  return fuzz_has_more (self) ? self->data[self->at++] : 0;
}

static inline guint16
fuzz_u16 (FuzzInput *self)
{
  guint16 low = fuzz_u8 (self);

  return (guint16) (low | fuzz_u8 (self) << 8);
}

static inline guint32
fuzz_u32 (FuzzInput *self)
{
  guint32 low = fuzz_u16 (self);

  return low | (guint32) fuzz_u16 (self) << 16;
}

static inline guint64
fuzz_u64 (FuzzInput *self)
{
  guint64 low = fuzz_u32 (self);

  return low | (guint64) fuzz_u32 (self) << 32;
}

/* A number below @end. */
static inline guint
fuzz_choose (FuzzInput *self, guint end)
{
  return fuzz_u8 (self) % end;
}

/* Up to @max bytes of the input. */
static inline const guint8 *
fuzz_bytes (FuzzInput *self, gsize max, gsize *length)
{
  const guint8 *bytes = self->data + self->at;

  *length = MIN (max, self->size - self->at);
  self->at += *length;
  return bytes;
}

/* A timeout, in microseconds: none, short, or longer than all slices. */
gint64 fuzz_timeout (FuzzInput *self);

/* Of each target. */
extern const char *const fuzz_name;
void fuzz_setup (void);
void fuzz_run (FuzzInput *input);

/* From here on the hostile process may write, too, when somebody sleeps. */
typedef void (*FuzzPoke) (FuzzInput *input);
void fuzz_begin (FuzzInput *input, FuzzPoke poke);
void fuzz_end (void);

/* What is done until the next of these may take @timeout_us and two seconds more,
 * by either clock. */
void fuzz_operation (const char *name, gint64 timeout_us);

/* Who writes into such a word that it is held can make others wait for as long as
 * he lives. So when that has taken too long he dies: the word becomes @value. */
#define FUZZ_ANY_MICRO_LOCK NULL
void fuzz_may_stall (gpointer word, guint32 value);
void fuzz_forget_stalls (void);

/* The program ends, and this input is one that has found something. */
void fuzz_fail (const char *what, ...) G_GNUC_PRINTF (1, 2) G_GNUC_NORETURN;

/* Reads all properties. */
void fuzz_read_properties (gpointer object);
/* @error: what an operation set, or NULL. It must be one that callers know. */
void fuzz_check_error (GError *error);
/* Looks at all of a variant that came from elsewhere. Consumes it; may be NULL. */
void fuzz_consume_variant (GVariant *value);

/* For libFuzzer, and for fuzz-main.c. */
int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

G_END_DECLS

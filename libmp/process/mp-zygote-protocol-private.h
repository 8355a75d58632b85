/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

#include <gio/gio.h>

#include "mp-context.h"

G_BEGIN_DECLS

/* How long what has lost its parent, and can look for it, lives on. */
#define MP_FAREWELL_MS 250

/* What a process and its zygote say to each other, over a SOCK_SEQPACKET
 * socket. The same is spoken by the native zygote (mp-zygote.c) and by the
 * Python one (multiprocessing_gi/_zygote.py): change both. Both ends run on one
 * machine: everything is in native byte order. Both ends belong to one user and
 * one program, so they trust each other.
 *
 *   zygote               requester
 *     HELLO       →                     it runs: code = version, value = pid
 *                 ←     CONFIGURE       + fd of a body: argv = modules to preload; Python only
 *     READY       →                     from here on starts are quick: value = pid
 *                 ←     START id        code = MpZygoteStartFlags; + fds: body, working directory,
 *                                       0, 1, 2, then the user's
 *     STARTED id  →                     value = pid, + pidfd
 *     FAILED id   →                     code = MpError, then text
 *                 ←     SIGNAL id       value = signal, for the whole process group of a command
 *     EXITED id   →                     code = si_code, value = si_status of waitid()
 *
 * The body of CONFIGURE and START is a sealed memfd: MpStartBody, then the data
 * and the preparation, each padded to 8 bytes, then strings that end with NUL:
 * the task's name, n_argv arguments, n_env NAME=VALUE, n_surroundings of
 * mp_surroundings_to_strings(). */

#define MP_ZYGOTE_VERSION 2
#define MP_ZYGOTE_MAGIC 0x315a504du /* MPZ1 */
#define MP_START_MAGIC 0x3153504du  /* MPS1 */

/* Descriptors of a START message before the user's. */
#define MP_START_N_FDS 5
/* The kernel's limit for one message is 253. */
#define MP_START_MAX_USER_FDS (253 - MP_START_N_FDS)
#define MP_ZYGOTE_MAX_TEXT 4096

typedef enum
{
  MP_ZYGOTE_HELLO = 1,
  MP_ZYGOTE_CONFIGURE,
  MP_ZYGOTE_READY,
  MP_ZYGOTE_START,
  MP_ZYGOTE_STARTED,
  MP_ZYGOTE_FAILED,
  MP_ZYGOTE_SIGNAL,
  MP_ZYGOTE_EXITED
} MpZygoteMessageType;

typedef enum
{
  MP_ZYGOTE_START_NONE = 0,
  MP_ZYGOTE_START_OUTLIVES = 1 << 0 /* is not killed with its requester, nor with the zygote */
} MpZygoteStartFlags;

typedef struct
{
  guint32 magic;
  guint32 type;
  guint64 id;
  gint32 code;
  gint32 value;
  guint32 text_length; /* bytes that follow */
  guint32 reserved;
} MpZygoteMessage;

G_STATIC_ASSERT (sizeof (MpZygoteMessage) == 32);

typedef enum
{
  MP_START_TASK,      /* fork, run the task in the zygote's image */
  MP_START_COMMAND,   /* fork, execute argv in a process group of its own */
  MP_START_EXEC_TASK, /* fork, execute argv, which finds the task through MP_START in its
                         environment */
  MP_START_CONFIGURE
} MpStartKind;

enum
{
  MP_START_HAS_DATA = 1 << 0,
  MP_START_HAS_PREPARATION = 1 << 1, /* else: the one the zygote was configured with */
  MP_START_HAS_ENVIRONMENT = 1 << 2, /* else: the zygote's */
  MP_START_OUTLIVES = 1 << 3         /* is not bound to the zygote */
};

typedef struct
{
  guint32 magic;
  guint32 kind;
  guint32 codec;
  guint32 flags;
  guint64 data_length;
  guint64 preparation_length;
  guint32 n_argv;
  guint32 n_env;
  guint64 fingerprint; /* of CONFIGURE: goes into MP_LINK */
  guint32 n_surroundings;
  guint32 reserved;
} MpStartBody;

G_STATIC_ASSERT (sizeof (MpStartBody) == 56);

/* A body taken apart. Everything points into the mapping, only the arrays are
 * allocated. */
typedef struct
{
  gpointer map;
  gsize map_length;

  MpStartKind kind;
  MpCodec codec;
  const guint8 *data; /* NULL: none */
  gsize data_length;
  const guint8 *preparation; /* NULL: none */
  gsize preparation_length;
  guint64 fingerprint;
  const char *task;
  char **argv;
  char **env; /* NULL: as the zygote's */
  char **surroundings;
  gboolean outlives;
} MpStart;

int mp_start_to_memfd (const MpStart *start, GError **error);
gboolean mp_start_from_memfd (MpStart *start, int fd, GError **error);
void mp_start_clear (MpStart *start);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MpStart, mp_start_clear)

/* Which program the zygote is. */
typedef enum
{
  MP_ZYGOTE_SELF,   /* this program again */
  MP_ZYGOTE_HELPER, /* mp-helper */
  MP_ZYGOTE_PYTHON,
  MP_ZYGOTE_GJS, /* mp-helper, with an interpreter executed ahead of each start */
  MP_ZYGOTE_N_KINDS
} MpZygoteKind;

/* In the environment of a zygote: kind:fd:pid of the requester. */
#define MP_ENV_ZYGOTE "MP_ZYGOTE"
/* In the environment of a process that executes a task afresh:
 * its pid:kind:fd of the body:fd of the link:fds of the user with commas.
 * Without a body (-1) the process was executed ahead: the START message of its
 * requester comes through the link, once there is one. */
#define MP_ENV_START "MP_START"
/* In the environment of a process with a link to its zygote:
 * its pid:kind:fd:inode:fingerprint. */
#define MP_ENV_LINK "MP_LINK"

/* The body on @message is checked for length and magic; FALSE if it is not a message. */
gboolean mp_zygote_message_check (gconstpointer data,
                                  gsize length,
                                  MpZygoteMessage *message,
                                  const char **text);

G_END_DECLS

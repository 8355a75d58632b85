/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Long tasks and results of a pool, without the interpreter's lock while they are copied. */

#include "accelerator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A pickle of bytes and nothing else: this, their length in eight bytes, they, and the end. */
#define BYTES_HEAD "\x80\x05\x8e"
#define BYTES_HEAD_LENGTH 11
#define BYTES_END "\x94."
#define BYTES_END_LENGTH 2
/* What is as long as this may have huge pages. */
#define HUGE_ENOUGH (4 * 1024 * 1024)
/* What the allocator gets for shorter objects, once so many bytes were made. */
#define ROOM (16 * 1024 * 1024)
#define FEW_BYTES (4 * 1024 * 1024)
/* So many times at most one kind of pages is chosen without a look at the other. */
#define MAX_BETWEEN 32

/* NULL with an exception set. */
static MpJob *
job_of (PyObject *wrapper)
{
  PyObject *capsule = PyObject_GetAttrString (wrapper, "__gpointer__");
  gpointer job = capsule != NULL ? PyCapsule_GetPointer (capsule, NULL) : NULL;

  Py_XDECREF (capsule);
  if (job == NULL || MP_IS_JOB (job))
    return job;
  PyErr_SetString (PyExc_TypeError, "an MpJob is needed");
  return NULL;
}

static PyObject *
push_parts (PyObject *module, PyObject *args)
{
  PyObject *wrapper, *list, *number;
  AcceleratorParts parts;
  PyThreadState *state;
  GError *error = NULL;
  long codec;
  MpJob *job;

  if (!PyArg_ParseTuple (args, "OO:push_parts", &wrapper, &list))
    return NULL;
  job = job_of (wrapper);
  number = job != NULL ? PyObject_GetAttrString (list, "codec") : NULL;
  if (number == NULL)
    return NULL;
  codec = PyLong_AsLong (number);
  Py_DECREF (number);
  if (PyErr_Occurred () != NULL || !accelerator_open_parts (&parts, list))
    return NULL;
  state = PyEval_SaveThread ();
  mp_job_push_vectors (job, parts.vectors, (gsize) parts.n, (MpCodec) codec, &error);
  PyEval_RestoreThread (state);
  accelerator_close_parts (&parts);
  if (error != NULL)
    return accelerator_raise_glib (error);
  Py_RETURN_NONE;
}

/* For all pages that lie in this memory. */
static void
advise (char *memory, gsize length, int advice)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  char *start = memory + (-(guintptr) memory % page);
  char *end = memory + length - (guintptr) (memory + length) % page;

  if (start < end)
    madvise (start, (gsize) (end - start), advice);
}

/* Which pages fresh memory has. Huge ones are cheaper, unless the host of this system has to clear
 * them first: what was measured decides, and the other kind is tried again, ever more seldom. */
typedef struct
{
  gboolean huge;
  double costs[2]; /* nanoseconds a byte, by whether they are huge */
  guint n_left;    /* until the other kind is tried */
  guint n_between;
} Pages;

/* With the interpreter's lock. */
static Pages pages = { .huge = TRUE, .n_left = 2, .n_between = 1 };

/* Notes what @length bytes cost, of the kind chosen before, and chooses that of the next. */
static void
choose_pages (gsize length, gint64 microseconds)
{
  double *cost = &pages.costs[pages.huge], now = 1000.0 * (double) microseconds / (double) length;

  *cost = *cost == 0 ? now : (*cost + now) / 2;
  pages.huge = pages.costs[TRUE] <= pages.costs[FALSE];
  if (--pages.n_left > 0)
    return;
  pages.n_between = MIN (2 * pages.n_between, MAX_BETWEEN);
  pages.n_left = pages.n_between;
  pages.huge = !pages.huge;
}

static void
advise_pages (char *memory, gsize length)
{
  advise (memory, length, pages.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

/* All at once: one by one they cost more than the copy. */
static void
have_pages (char *memory, gsize length)
{
#ifdef MADV_POPULATE_WRITE
  /* Where the kernel does not know it, they come one by one. */
  advise (memory, length, MADV_POPULATE_WRITE);
#endif
}

/* The allocator would get their memory bit by bit, and so at first map each of them for itself. It
 * gets it for many of them at a time, and keeps what is not in use yet. No huge pages: where the
 * host has to supply them they cost eight times as much, and who keeps a map's results wants many.
 * With the interpreter's lock. */
static void
make_room (gsize length)
{
  static gsize left = FEW_BYTES;

  if (left < length)
    {
      /* The first piece may be mapped for itself: what was freed so once is not any more. */
      g_free (g_try_malloc (ROOM));
      g_free (g_try_malloc (ROOM));
      left = ROOM;
    }
  left -= length;
}

static gboolean
is_whole_bytes (const guint8 *data, gsize length)
{
  guint64 n;

  if (length < BYTES_HEAD_LENGTH + BYTES_END_LENGTH ||
      memcmp (data, BYTES_HEAD, strlen (BYTES_HEAD)) != 0)
    return FALSE;
  memcpy (&n, data + strlen (BYTES_HEAD), sizeof n);
  return GUINT64_FROM_LE (n) == length - BYTES_HEAD_LENGTH - BYTES_END_LENGTH &&
         memcmp (data + length - BYTES_END_LENGTH, BYTES_END, BYTES_END_LENGTH) == 0;
}

/* Takes @buffer. */
static PyObject *
copy_bytes (MpBuffer *buffer, const guint8 *data, gsize length)
{
  gboolean is_big = length >= HUGE_ENOUGH;
  PyThreadState *state;
  gint64 microseconds;
  PyObject *bytes;
  char *memory;

  if (!is_big)
    make_room (length);
  /* The allocator writes behind what it gives: a huge page may come there. */
  microseconds = -g_get_monotonic_time ();
  bytes = PyBytes_FromStringAndSize (NULL, (Py_ssize_t) length);
  memory = bytes != NULL ? PyBytes_AsString (bytes) : NULL;
  if (memory != NULL && is_big)
    advise_pages (memory, length);
  state = PyEval_SaveThread ();
  if (memory != NULL)
    have_pages (memory, length);
  microseconds += g_get_monotonic_time ();
  if (memory != NULL)
    memcpy (memory, data, length);
  mp_buffer_unref (buffer);
  PyEval_RestoreThread (state);
  if (is_big)
    choose_pages (length, microseconds);
  return bytes;
}

PyObject *
accelerator_open_message (MpBuffer *buffer)
{
  gsize length;
  const guint8 *data = mp_buffer_get_memory (buffer, &length);
  MpCodec codec = mp_buffer_get_codec (buffer);
  PyObject *memory;

  if (codec == MP_CODEC_PICKLE && is_whole_bytes (data, length))
    {
      memory = copy_bytes (buffer,
                           data + BYTES_HEAD_LENGTH,
                           length - BYTES_HEAD_LENGTH - BYTES_END_LENGTH);
      codec = MP_CODEC_RAW;
    }
  else
    memory = accelerator_block_new (buffer);
  return memory != NULL ? Py_BuildValue ("(Ni)", memory, (int) codec) : NULL;
}

static PyObject *
take_result (PyObject *module, PyObject *args)
{
  PyObject *wrapper;
  unsigned int index;
  MpBuffer *buffer;
  MpJob *job;

  if (!PyArg_ParseTuple (args, "OI:take_result", &wrapper, &index))
    return NULL;
  job = job_of (wrapper);
  if (job == NULL)
    return NULL;
  buffer = mp_job_take_buffer (job, index);
  if (buffer == NULL)
    Py_RETURN_NONE;
  return accelerator_open_message (buffer);
}

static PyMethodDef functions[] = {
  { "push_parts",
    push_parts,
    METH_VARARGS,
    "push_parts(job, parts): adds a task that has several parts." },
  { "take_result",
    take_result,
    METH_VARARGS,
    "take_result(job, index): (memory, codec) of a long result, or None." },
  { NULL, NULL, 0, NULL },
};

gboolean
accelerator_add_pool (PyObject *module)
{
  return PyModule_AddFunctions (module, functions) == 0;
}

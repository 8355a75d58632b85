/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#pragma once

/* The limited interface of Python 3.11: one build for it and every later one. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <libmp.h>

/* What every type here begins with: the GObject, and PyGObject's wrapper of it,
 * which keeps it. */
typedef struct
{
  PyObject base;
  gpointer gobject; /* NULL until _attach() */
  PyObject *wrapper;
} AcceleratorObject;

/* The GObject of an object; NULL if it was never attached. */
static inline gpointer
accelerator_peek (PyObject *self)
{
  return ((AcceleratorObject *) self)->gobject;
}

/* One call of an interruptible function of libmp: MpWaitResult. */
typedef int (*AcceleratorWait) (gpointer gobject, gint64 timeout_us);

/* module.c */

/* Sets the exception for an object without a GObject; returns NULL. */
PyObject *accelerator_complain (PyObject *self);
PyObject *accelerator_attach (PyObject *self, PyObject *wrapper, GType type);
void accelerator_dealloc (PyObject *self);
PyObject *accelerator_get_gobject (PyObject *self, void *closure);
int accelerator_traverse (PyObject *self, visitproc visit, void *arg);

/* Without the interpreter's lock, with its signal handlers, until @deadline
 * (monotonic microseconds; -1: never). 1: done, 0: the time is over, -1: an exception is set. */
int accelerator_wait (gpointer gobject, AcceleratorWait wait, gint64 deadline);
/* @timeout: NULL or None for ever, else seconds. FALSE with an exception set. */
gboolean accelerator_parse_timeout (PyObject *timeout, gint64 *deadline);
/* "block" and "timeout" of an acquire(): @deadline is 0 if it must not block. */
gboolean accelerator_parse_acquire (PyObject *const *args,
                                    Py_ssize_t n,
                                    PyObject *names,
                                    gint64 *deadline);
/* The exception of type @misuse with @text for MP_ERROR_NOT_OWNER and
 * MP_ERROR_LIMIT, OSError for everything else. Takes @error; returns NULL. */
PyObject *accelerator_raise (GError *error, PyObject *misuse, const char *text);
/* A list of objects with buffers. */
typedef struct
{
  Py_ssize_t n;
  GOutputVector *vectors;
  Py_buffer *buffers;
} AcceleratorParts;

/* FALSE with an exception set. */
gboolean accelerator_open_parts (AcceleratorParts *self, PyObject *list);
void accelerator_close_parts (AcceleratorParts *self);
/* The memory of a message, which it keeps. Takes @buffer. */
PyObject *accelerator_block_new (MpBuffer *buffer);
/* (memory, codec) of a message; the bytes themselves if it is a pickle of those. Takes @buffer. */
PyObject *accelerator_open_message (MpBuffer *buffer);
/* Sets a GLib.Error, as PyGObject would. Takes @error; returns NULL. */
PyObject *accelerator_raise_glib (GError *error);
gboolean accelerator_add_type (PyObject *module, const char *name, PyType_Spec *spec);

/* locks.c, events.c, values.c, queue.c, worker.c, child.c, pool.c, connections.c */

gboolean accelerator_add_locks (PyObject *module);
gboolean accelerator_add_events (PyObject *module);
gboolean accelerator_add_values (PyObject *module);
gboolean accelerator_add_queue (PyObject *module);
gboolean accelerator_add_worker (PyObject *module);
gboolean accelerator_add_child (PyObject *module);
gboolean accelerator_add_pool (PyObject *module);
gboolean accelerator_add_connections (PyObject *module);

/* Whether @object is an RLock or a Lock of this module that is attached. */
gboolean accelerator_is_lock (PyObject *object);
/* -1 with an exception set. */
int accelerator_lock_acquire (PyObject *lock);
int accelerator_lock_release (PyObject *lock);

/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Lock, RLock, Semaphore. */

#include "accelerator.h"

#define RELEASED_TOO_OFTEN "semaphore or lock released too many times"

static PyTypeObject *lock_type;
static PyTypeObject *rlock_type;

static int
wait_for_lock (gpointer gobject, gint64 timeout_us)
{
  return mp_lock_acquire_interruptible (gobject, timeout_us);
}

static int
wait_for_rlock (gpointer gobject, gint64 timeout_us)
{
  return mp_rlock_acquire_interruptible (gobject, timeout_us);
}

static int
wait_for_semaphore (gpointer gobject, gint64 timeout_us)
{
  return mp_semaphore_acquire_interruptible (gobject, timeout_us);
}

static PyObject *
acquire_slowly (gpointer gobject,
                AcceleratorWait wait,
                PyObject *const *args,
                Py_ssize_t n,
                PyObject *names)
{
  gint64 deadline;
  int result;

  if (!accelerator_parse_acquire (args, n, names, &deadline))
    return NULL;
  result = deadline == 0 ? 0 : accelerator_wait (gobject, wait, deadline);
  return result < 0 ? NULL : PyBool_FromLong (result);
}

/* With arguments, those are looked at first: a wrong one must not leave it acquired. */
#define DEFINE_LOCKABLE(name, TYPE, misuse, text, ...)                                             \
  static PyObject *name##_attach (PyObject *self, PyObject *wrapper)                               \
  {                                                                                                \
    return accelerator_attach (self, wrapper, TYPE);                                               \
  }                                                                                                \
                                                                                                   \
  static PyObject *name##_acquire (PyObject *self,                                                 \
                                   PyObject *const *args,                                          \
                                   Py_ssize_t n,                                                   \
                                   PyObject *names)                                                \
  {                                                                                                \
    gpointer gobject = accelerator_peek (self);                                                    \
    gint64 deadline;                                                                               \
                                                                                                   \
    if (G_UNLIKELY (gobject == NULL))                                                              \
      return accelerator_complain (self);                                                          \
    if (G_UNLIKELY ((n != 0 || names != NULL) &&                                                   \
                    !accelerator_parse_acquire (args, n, names, &deadline)))                       \
      return NULL;                                                                                 \
    if (G_LIKELY (mp_##name##_try_acquire (gobject)))                                              \
      Py_RETURN_TRUE;                                                                              \
    return acquire_slowly (gobject, wait_for_##name, args, n, names);                              \
  }                                                                                                \
                                                                                                   \
  static PyObject *name##_release (PyObject *self, PyObject *nothing)                              \
  {                                                                                                \
    gpointer gobject = accelerator_peek (self);                                                    \
    GError *error = NULL;                                                                          \
                                                                                                   \
    if (G_UNLIKELY (gobject == NULL))                                                              \
      return accelerator_complain (self);                                                          \
    if (G_LIKELY (mp_##name##_release (gobject, ##__VA_ARGS__, &error)))                           \
      Py_RETURN_NONE;                                                                              \
    return accelerator_raise (error, misuse, text);                                                \
  }                                                                                                \
                                                                                                   \
  static PyObject *name##_enter (PyObject *self, PyObject *nothing)                                \
  {                                                                                                \
    return name##_acquire (self, NULL, 0, NULL);                                                   \
  }                                                                                                \
                                                                                                   \
  static PyObject *name##_exit (PyObject *self, PyObject *const *args, Py_ssize_t n)               \
  {                                                                                                \
    return name##_release (self, NULL);                                                            \
  }                                                                                                \
                                                                                                   \
  static PyMethodDef name##_methods[] = {                                                          \
    { "_attach", name##_attach, METH_O, "Makes it stand for a GObject." },                         \
    { "acquire",                                                                                   \
      (PyCFunction) (void *) name##_acquire,                                                       \
      METH_FASTCALL | METH_KEYWORDS,                                                               \
      "acquire($self, /, block=True, timeout=None)\n--\n\n"                                        \
      "Acquires it, waiting for timeout seconds at most; gives whether it did." },                 \
    { "release", name##_release, METH_NOARGS, "release($self, /)\n--\n\nReleases it." },           \
    { "__enter__", name##_enter, METH_NOARGS, NULL },                                              \
    { "__exit__", (PyCFunction) (void *) name##_exit, METH_FASTCALL, NULL },                       \
    { NULL, NULL, 0, NULL },                                                                       \
  };                                                                                               \
                                                                                                   \
  static PyType_Slot name##_slots[] = {                                                            \
    { Py_tp_methods, name##_methods },                                                             \
    { Py_tp_getset, getters },                                                                     \
    { Py_tp_dealloc, accelerator_dealloc },                                                        \
    { Py_tp_traverse, accelerator_traverse },                                                      \
    { 0, NULL },                                                                                   \
  };

static PyGetSetDef getters[] = {
  { "gobject", accelerator_get_gobject, NULL, "The introspected object behind it.", NULL },
  { NULL, NULL, NULL, NULL, NULL },
};

DEFINE_LOCKABLE (lock, MP_TYPE_LOCK, PyExc_ValueError, RELEASED_TOO_OFTEN)
DEFINE_LOCKABLE (rlock,
                 MP_TYPE_RLOCK,
                 PyExc_AssertionError,
                 "attempt to release recursive lock not owned by thread")
DEFINE_LOCKABLE (semaphore, MP_TYPE_SEMAPHORE, PyExc_ValueError, RELEASED_TOO_OFTEN, 1)

#define SPEC(python_name, slots)                                                                   \
  {                                                                                                \
    "_multiprocessing_gi." python_name, sizeof (AcceleratorObject), 0,                             \
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots                         \
  }

static PyType_Spec lock_spec = SPEC ("Lock", lock_slots);
static PyType_Spec rlock_spec = SPEC ("RLock", rlock_slots);
static PyType_Spec semaphore_spec = SPEC ("Semaphore", semaphore_slots);

gboolean
accelerator_is_lock (PyObject *object)
{
  return (PyObject_TypeCheck (object, rlock_type) || PyObject_TypeCheck (object, lock_type)) &&
         ((AcceleratorObject *) object)->gobject != NULL;
}

int
accelerator_lock_acquire (PyObject *lock)
{
  PyObject *result = PyObject_TypeCheck (lock, rlock_type) ? rlock_acquire (lock, NULL, 0, NULL)
                                                           : lock_acquire (lock, NULL, 0, NULL);

  Py_XDECREF (result);
  return result != NULL ? 0 : -1;
}

int
accelerator_lock_release (PyObject *lock)
{
  PyObject *result =
    PyObject_TypeCheck (lock, rlock_type) ? rlock_release (lock, NULL) : lock_release (lock, NULL);

  Py_XDECREF (result);
  return result != NULL ? 0 : -1;
}

/* The module keeps a reference, and it is never unloaded. */
static PyTypeObject *
find_type (PyObject *module, const char *name)
{
  return (PyTypeObject *) PyObject_GetAttrString (module, name);
}

gboolean
accelerator_add_locks (PyObject *module)
{
  if (!accelerator_add_type (module, "Lock", &lock_spec) ||
      !accelerator_add_type (module, "RLock", &rlock_spec) ||
      !accelerator_add_type (module, "Semaphore", &semaphore_spec))
    return FALSE;
  lock_type = find_type (module, "Lock");
  rlock_type = find_type (module, "RLock");
  return lock_type != NULL && rlock_type != NULL;
}

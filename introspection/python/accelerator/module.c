/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* _multiprocessing_gi: the classes of multiprocessing_gi/_pure.py in C. A call
 * through introspection costs some hundred nanoseconds, which is several times
 * what a free lock takes; nothing else is different here. */

#include "accelerator.h"

PyObject *
accelerator_complain (PyObject *self)
{
  PyErr_Format (PyExc_ValueError, "%R was never set up", Py_TYPE (self));
  return NULL;
}

PyObject *
accelerator_attach (PyObject *self, PyObject *wrapper, GType type)
{
  AcceleratorObject *object = (AcceleratorObject *) self;
  PyObject *old = object->wrapper;
  PyObject *capsule = PyObject_GetAttrString (wrapper, "__gpointer__");
  gpointer gobject = capsule != NULL ? PyCapsule_GetPointer (capsule, NULL) : NULL;

  Py_XDECREF (capsule);
  if (gobject == NULL)
    return NULL;
  if (!g_type_is_a (G_TYPE_FROM_INSTANCE (gobject), type))
    {
      PyErr_Format (PyExc_TypeError,
                    "a %s is needed, not a %s",
                    g_type_name (type),
                    G_OBJECT_TYPE_NAME (gobject));
      return NULL;
    }
  Py_INCREF (wrapper);
  object->wrapper = wrapper;
  object->gobject = gobject;
  Py_XDECREF (old);
  Py_RETURN_NONE;
}

void
accelerator_dealloc (PyObject *self)
{
  PyTypeObject *type = Py_TYPE (self);
  freefunc free_object = (freefunc) PyType_GetSlot (type, Py_tp_free);

  PyObject_GC_UnTrack (self);
  Py_CLEAR (((AcceleratorObject *) self)->wrapper);
  free_object (self);
  Py_DECREF (type);
}

int
accelerator_traverse (PyObject *self, visitproc visit, void *arg)
{
  Py_VISIT (Py_TYPE (self));
  Py_VISIT (((AcceleratorObject *) self)->wrapper);
  return 0;
}

PyObject *
accelerator_get_gobject (PyObject *self, void *closure)
{
  PyObject *wrapper = ((AcceleratorObject *) self)->wrapper;

  if (wrapper == NULL)
    wrapper = Py_None;
  Py_INCREF (wrapper);
  return wrapper;
}

int
accelerator_wait (gpointer gobject, AcceleratorWait wait, gint64 deadline)
{
  for (;;)
    {
      gint64 now = g_get_monotonic_time ();
      gint64 left = deadline < 0 ? -1 : MAX (deadline - now, 0);
      PyThreadState *state = PyEval_SaveThread ();
      int result = wait (gobject, left);

      PyEval_RestoreThread (state);
      if (result == MP_WAIT_RESULT_DONE)
        return 1;
      if (PyErr_CheckSignals () != 0)
        return -1;
      if (result == MP_WAIT_RESULT_TIMED_OUT)
        return 0;
      if (result != MP_WAIT_RESULT_INTERRUPTED)
        {
          PyErr_SetString (PyExc_OSError, "the shared memory of an object is corrupt");
          return -1;
        }
    }
}

gboolean
accelerator_parse_timeout (PyObject *timeout, gint64 *deadline)
{
  gint64 now = g_get_monotonic_time ();
  double seconds;

  *deadline = -1;
  if (timeout == NULL || timeout == Py_None)
    return TRUE;
  seconds = PyFloat_AsDouble (timeout);
  if (seconds == -1 && PyErr_Occurred () != NULL)
    return FALSE;
  if (seconds != seconds)
    {
      PyErr_SetString (PyExc_ValueError, "a timeout must be a number of seconds, not NaN");
      return FALSE;
    }
  if (seconds <= 0)
    *deadline = 0;
  else if (seconds < (double) (G_MAXINT64 - now) / G_USEC_PER_SEC)
    *deadline = now + (gint64) (seconds * G_USEC_PER_SEC);
  return TRUE;
}

/* Puts the values of the arguments "block" and "timeout" into @values. */
static gboolean
collect_arguments (PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject **values)
{
  Py_ssize_t n_names = names != NULL ? PyTuple_Size (names) : 0;

  if (n > 2)
    {
      PyErr_Format (PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)", n);
      return FALSE;
    }
  for (Py_ssize_t i = 0; i < n; i++)
    values[i] = args[i];
  for (Py_ssize_t i = 0; i < n_names; i++)
    {
      PyObject *name = PyTuple_GetItem (names, i);
      int place = PyUnicode_CompareWithASCIIString (name, "block") == 0     ? 0
                  : PyUnicode_CompareWithASCIIString (name, "timeout") == 0 ? 1
                                                                            : -1;

      if (place < 0)
        {
          PyErr_Format (PyExc_TypeError, "'%U' is an invalid keyword argument for acquire()", name);
          return FALSE;
        }
      if (values[place] != NULL)
        {
          PyErr_Format (PyExc_TypeError, "acquire() got multiple values for argument '%U'", name);
          return FALSE;
        }
      values[place] = args[n + i];
    }
  return TRUE;
}

gboolean
accelerator_parse_acquire (PyObject *const *args, Py_ssize_t n, PyObject *names, gint64 *deadline)
{
  PyObject *values[2] = { NULL, NULL };
  int block = 1;

  *deadline = -1;
  if (n == 0 && names == NULL)
    return TRUE;
  if (!collect_arguments (args, n, names, values))
    return FALSE;
  if (values[0] != NULL)
    block = PyObject_IsTrue (values[0]);
  if (block < 0)
    return FALSE;
  if (block)
    return accelerator_parse_timeout (values[1], deadline);
  *deadline = 0;
  return TRUE;
}

PyObject *
accelerator_raise (GError *error, PyObject *misuse, const char *text)
{
  if (g_error_matches (error, MP_ERROR, MP_ERROR_NOT_OWNER) ||
      g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT))
    PyErr_SetString (misuse, text);
  else
    PyErr_SetString (PyExc_OSError, error->message);
  g_error_free (error);
  return NULL;
}

gboolean
accelerator_add_type (PyObject *module, const char *name, PyType_Spec *spec)
{
  PyObject *type = PyType_FromSpec (spec);
  gboolean added = type != NULL && PyModule_AddObjectRef (module, name, type) == 0;

  Py_XDECREF (type);
  return added;
}

static int
fill_module (PyObject *module)
{
  return accelerator_add_locks (module) && accelerator_add_events (module) &&
             accelerator_add_values (module) && accelerator_add_queue (module) &&
             accelerator_add_worker (module) && accelerator_add_child (module) &&
             accelerator_add_pool (module) && accelerator_add_connections (module)
           ? 0
           : -1;
}

static PyModuleDef_Slot slots[] = { { Py_mod_exec, fill_module }, { 0, NULL } };

static PyModuleDef definition = {
  PyModuleDef_HEAD_INIT,
  .m_name = "_multiprocessing_gi",
  .m_doc = "What multiprocessing_gi does most often, in C.",
  .m_slots = slots,
};

PyMODINIT_FUNC PyInit__multiprocessing_gi (void);

PyMODINIT_FUNC
PyInit__multiprocessing_gi (void)
{
  return PyModuleDef_Init (&definition);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Worker: MpWorker without introspection. What a worker process touches first it has to
 * copy from its zygote, and PyGObject is spread over many pages. */

#include "accelerator.h"

typedef struct
{
  PyObject base;
  MpWorker *worker;
  guint32 index;
} Worker;

PyObject *
accelerator_raise_glib (GError *error)
{
  PyObject *module = PyImport_ImportModule ("gi.repository.GLib");
  PyObject *type = module != NULL ? PyObject_GetAttrString (module, "Error") : NULL;
  PyObject *value = NULL;

  if (type != NULL)
    value = PyObject_CallFunction (type,
                                   "ssi",
                                   error->message,
                                   g_quark_to_string (error->domain),
                                   error->code);
  if (value != NULL)
    PyErr_SetObject (type, value);
  Py_XDECREF (value);
  Py_XDECREF (type);
  Py_XDECREF (module);
  g_error_free (error);
  return NULL;
}

static gboolean
parse_fds (PyObject *list, GArray *fds)
{
  Py_ssize_t n = PyList_Size (list);

  for (Py_ssize_t i = 0; i < n; i++)
    {
      int fd = (int) PyLong_AsLong (PyList_GetItem (list, i));

      if (PyErr_Occurred () != NULL)
        return FALSE;
      g_array_append_val (fds, fd);
    }
  return n >= 0;
}

static MpWorker *
attach (const char *data, Py_ssize_t length, GArray *fds, guint32 *index)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, (gsize) length);
  g_autoptr (GVariant) boxed =
    g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE_VARIANT, bytes, FALSE));
  g_autoptr (GVariant) handle = g_variant_get_variant (boxed);
  g_autoptr (GVariant) layout = NULL;
  g_autoptr (GUnixFDList) fd_list =
    g_unix_fd_list_new_from_array ((const int *) (gpointer) fds->data, (int) fds->len);
  GError *error = NULL;
  MpWorker *worker = mp_worker_new_from_handle (handle, fd_list, &error);

  /* They stay the caller's. */
  g_free (g_unix_fd_list_steal_fds (fd_list, NULL));
  if (worker == NULL)
    {
      accelerator_raise_glib (error);
      return NULL;
    }
  g_variant_get_child (handle, 2, "@a{sv}", &layout);
  g_variant_lookup (layout, "worker", "u", index);
  return worker;
}

static PyObject *
worker_new (PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
  g_autoptr (GArray) fds = g_array_new (FALSE, FALSE, sizeof (int));
  allocfunc allocate = (allocfunc) PyType_GetSlot (type, Py_tp_alloc);
  const char *data;
  Py_ssize_t length;
  PyObject *list;
  MpWorker *worker;
  guint32 index = 0;
  Worker *self;

  if (!PyArg_ParseTuple (args, "y#O:Worker", &data, &length, &list) || !parse_fds (list, fds))
    return NULL;
  worker = attach (data, length, fds, &index);
  if (worker == NULL)
    return NULL;
  self = (Worker *) allocate (type, 0);
  if (self == NULL)
    {
      g_object_unref (worker);
      return NULL;
    }
  self->worker = worker;
  self->index = index;
  return (PyObject *) self;
}

static void
worker_dealloc (PyObject *self)
{
  PyTypeObject *type = Py_TYPE (self);
  freefunc free_object = (freefunc) PyType_GetSlot (type, Py_tp_free);

  g_object_unref (((Worker *) self)->worker);
  free_object (self);
  Py_DECREF (type);
}

static MpWorker *
worker_of (PyObject *self)
{
  return ((Worker *) self)->worker;
}

/* What mp_worker_next() and the like gave. */
static PyObject *
task_or_error (const guint8 *task, gsize length, GError *error)
{
  if (error != NULL)
    return accelerator_raise_glib (error);
  if (task == NULL)
    Py_RETURN_NONE;
  return PyBytes_FromStringAndSize ((const char *) task, (Py_ssize_t) length);
}

static PyObject *
worker_next (PyObject *self, PyObject *nothing)
{
  PyThreadState *state = PyEval_SaveThread ();
  GError *error = NULL;
  gsize length = 0;
  const guint8 *task = mp_worker_next (worker_of (self), &length, &error);

  PyEval_RestoreThread (state);
  return task_or_error (task, length, error);
}

static PyObject *
worker_succeed_parts (PyObject *self, PyObject *list)
{
  PyObject *number = PyObject_GetAttrString (list, "codec");
  long codec = number != NULL ? PyLong_AsLong (number) : -1;
  AcceleratorParts parts;
  PyThreadState *state;
  GError *error = NULL;

  Py_XDECREF (number);
  if (PyErr_Occurred () != NULL || !accelerator_open_parts (&parts, list))
    return NULL;
  state = PyEval_SaveThread ();
  mp_worker_succeed_vectors (worker_of (self),
                             parts.vectors,
                             (gsize) parts.n,
                             (MpCodec) codec,
                             &error);
  PyEval_RestoreThread (state);
  accelerator_close_parts (&parts);
  if (error != NULL)
    return accelerator_raise_glib (error);
  Py_RETURN_NONE;
}

static PyObject *
worker_take_argument (PyObject *self, PyObject *nothing)
{
  MpBuffer *buffer = mp_worker_take_argument (worker_of (self));

  if (buffer == NULL)
    Py_RETURN_NONE;
  return accelerator_open_message (buffer);
}

static PyObject *
worker_succeed_and_next (PyObject *self, PyObject *const *args, Py_ssize_t n)
{
  GError *error = NULL;
  gsize length = 0;
  const guint8 *task;
  PyThreadState *state;
  Py_buffer result;
  long codec;

  if (n != 2)
    {
      PyErr_Format (PyExc_TypeError, "succeed_and_next() takes 2 arguments (%zd given)", n);
      return NULL;
    }
  codec = PyLong_AsLong (args[1]);
  if (codec == -1 && PyErr_Occurred () != NULL)
    return NULL;
  if (PyObject_GetBuffer (args[0], &result, PyBUF_SIMPLE) != 0)
    return NULL;
  state = PyEval_SaveThread ();
  task = mp_worker_succeed_and_next (worker_of (self),
                                     result.buf,
                                     (gsize) result.len,
                                     (MpCodec) codec,
                                     &length,
                                     &error);
  PyEval_RestoreThread (state);
  PyBuffer_Release (&result);
  return task_or_error (task, length, error);
}

static PyObject *
worker_fail (PyObject *self, PyObject *args)
{
  const char *domain, *message, *traceback, *exception;
  Py_ssize_t length;
  int code;
  GError *error = NULL;
  PyThreadState *state;

  if (!PyArg_ParseTuple (args,
                         "ziszy#:fail",
                         &domain,
                         &code,
                         &message,
                         &traceback,
                         &exception,
                         &length))
    return NULL;
  state = PyEval_SaveThread ();
  mp_worker_fail (worker_of (self),
                  domain,
                  code,
                  message,
                  traceback,
                  (const guint8 *) exception,
                  (gsize) length,
                  &error);
  PyEval_RestoreThread (state);
  if (error != NULL)
    return accelerator_raise_glib (error);
  Py_RETURN_NONE;
}

static PyObject *
worker_report_progress (PyObject *self, PyObject *fraction)
{
  double value = PyFloat_AsDouble (fraction);

  if (value == -1 && PyErr_Occurred () != NULL)
    return NULL;
  mp_worker_report_progress (worker_of (self), value);
  Py_RETURN_NONE;
}

static PyObject *
worker_get_start_data (PyObject *self, PyObject *nothing)
{
  GBytes *bytes = mp_worker_get_start_data (worker_of (self));
  gsize length = 0;
  const void *data = bytes != NULL ? g_bytes_get_data (bytes, &length) : NULL;

  return PyBytes_FromStringAndSize (data, (Py_ssize_t) length);
}

static PyObject *
worker_get_task_id (PyObject *self, PyObject *nothing)
{
  return PyLong_FromUnsignedLongLong (mp_worker_get_task_id (worker_of (self)));
}

static PyObject *
worker_get_attempt (PyObject *self, PyObject *nothing)
{
  return PyLong_FromUnsignedLong (mp_worker_get_attempt (worker_of (self)));
}

static PyObject *
worker_get_cancelled (PyObject *self, PyObject *nothing)
{
  return PyBool_FromLong (mp_worker_get_cancelled (worker_of (self)));
}

static PyObject *
worker_get_captured (PyObject *self, PyObject *nothing)
{
  return PyBool_FromLong (mp_worker_get_captured (worker_of (self)));
}

static PyObject *
worker_get_index (PyObject *self, PyObject *nothing)
{
  return PyLong_FromUnsignedLong (((Worker *) self)->index);
}

static PyMethodDef methods[] = {
  { "next", worker_next, METH_NOARGS, "The next task as bytes; None if there are no more." },
  { "succeed_and_next",
    (PyCFunction) (void *) worker_succeed_and_next,
    METH_FASTCALL,
    "succeed_and_next(result, codec): answers the task at hand, and takes the next." },
  { "succeed_parts",
    worker_succeed_parts,
    METH_O,
    "succeed_parts(parts): answers the task at hand with what has several parts." },
  { "take_argument",
    worker_take_argument,
    METH_NOARGS,
    "(memory, codec) of what the task is applied to, if that is long; else None." },
  { "fail",
    worker_fail,
    METH_VARARGS,
    "fail(domain, code, message, traceback, exception): answers with an error." },
  { "report_progress", worker_report_progress, METH_O, "Says how much is done, from 0 to 1." },
  { "get_start_data", worker_get_start_data, METH_NOARGS, "What the pool gave its workers." },
  { "get_task_id", worker_get_task_id, METH_NOARGS, "The number of the task at hand, or 0." },
  { "get_attempt", worker_get_attempt, METH_NOARGS, "How often it was started before." },
  { "get_cancelled", worker_get_cancelled, METH_NOARGS, "Whether nobody wants its result." },
  { "get_captured", worker_get_captured, METH_NOARGS, "Whether the pool reads the output." },
  { "get_index", worker_get_index, METH_NOARGS, "Its place in the pool, from 0." },
  { NULL, NULL, 0, NULL },
};

static PyType_Slot slots[] = {
  { Py_tp_new, worker_new },
  { Py_tp_dealloc, worker_dealloc },
  { Py_tp_methods, methods },
  { 0, NULL },
};

static PyType_Spec spec = { "_multiprocessing_gi.Worker",
                            sizeof (Worker),
                            0,
                            Py_TPFLAGS_DEFAULT,
                            slots };

gboolean
accelerator_add_worker (PyObject *module)
{
  return accelerator_add_type (module, "Worker", &spec);
}

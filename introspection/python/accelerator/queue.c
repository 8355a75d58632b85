/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* Queue: putting and taking of bytes, without waiting. Who waits has time for a
 * call through introspection. */

#include "accelerator.h"

#include <string.h>

/* Longer messages are copied without the interpreter's lock. */
#define LONG (32 * 1024)

static PyObject *
queue_attach (PyObject *self, PyObject *wrapper)
{
  return accelerator_attach (self, wrapper, MP_TYPE_QUEUE);
}

/* The memory of a long message, which it keeps. */
typedef struct
{
  PyObject base;
  MpBuffer *buffer;
} Block;

static PyTypeObject *block_type;

static int
block_get_buffer (PyObject *self, Py_buffer *view, int flags)
{
  gsize length;
  guint8 *memory = mp_buffer_get_memory (((Block *) self)->buffer, &length);

  return PyBuffer_FillInfo (view, self, memory, (Py_ssize_t) length, 0, flags);
}

static void
block_dealloc (PyObject *self)
{
  PyTypeObject *type = Py_TYPE (self);
  freefunc free_object = (freefunc) PyType_GetSlot (type, Py_tp_free);

  g_clear_pointer (&((Block *) self)->buffer, mp_buffer_unref);
  free_object (self);
  Py_DECREF (type);
}

static PyType_Slot block_slots[] = {
  { Py_bf_getbuffer, block_get_buffer },
  { Py_tp_dealloc, block_dealloc },
  { 0, NULL },
};

static PyType_Spec block_spec = { "_multiprocessing_gi.Block",
                                  sizeof (Block),
                                  0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                  block_slots };

PyObject *
accelerator_block_new (MpBuffer *buffer)
{
  Block *self = PyObject_New (Block, block_type);

  if (self == NULL)
    mp_buffer_unref (buffer);
  else
    self->buffer = buffer;
  return (PyObject *) self;
}

/* Sets the exception for @error, or returns FALSE if there was just no room. Takes @error. */
static gboolean
raise_for (GError *error)
{
  gboolean full = g_error_matches (error, MP_ERROR, MP_ERROR_FULL);
  PyObject *type = g_error_matches (error, MP_ERROR, MP_ERROR_CLOSED)  ? PyExc_ValueError
                   : g_error_matches (error, MP_ERROR, MP_ERROR_LIMIT) ? PyExc_MemoryError
                                                                       : PyExc_OSError;

  if (!full)
    PyErr_SetString (type, error->message);
  g_error_free (error);
  return !full;
}

gboolean
accelerator_open_parts (AcceleratorParts *self, PyObject *list)
{
  Py_ssize_t n = PyList_Size (list);

  self->n = 0;
  self->vectors = g_new (GOutputVector, (gsize) n);
  self->buffers = g_new (Py_buffer, (gsize) n);
  while (self->n < n)
    {
      Py_buffer *buffer = &self->buffers[self->n];

      if (PyObject_GetBuffer (PyList_GetItem (list, self->n), buffer, PyBUF_SIMPLE) != 0)
        {
          accelerator_close_parts (self);
          return FALSE;
        }
      self->vectors[self->n++] =
        (GOutputVector){ .buffer = buffer->buf, .size = (gsize) buffer->len };
    }
  return TRUE;
}

void
accelerator_close_parts (AcceleratorParts *self)
{
  for (Py_ssize_t i = 0; i < self->n; i++)
    PyBuffer_Release (&self->buffers[i]);
  g_free (self->buffers);
  g_free (self->vectors);
}

/* The parts of one message, which say what they are together. */
static PyObject *
try_put_parts (gpointer queue, PyObject *list)
{
  PyObject *number = PyObject_GetAttrString (list, "codec");
  long codec = number != NULL ? PyLong_AsLong (number) : -1;
  AcceleratorParts parts;
  PyThreadState *state;
  GError *error = NULL;
  gboolean done;

  Py_XDECREF (number);
  if (PyErr_Occurred () != NULL)
    return NULL;
  if (codec < 0 || codec > MP_CODEC_PICKLE_BUFFERS)
    {
      PyErr_Format (PyExc_ValueError, "there is no codec %ld", codec);
      return NULL;
    }
  if (!accelerator_open_parts (&parts, list))
    return NULL;
  state = PyEval_SaveThread ();
  done =
    mp_queue_put_vectors (queue, parts.vectors, (gsize) parts.n, (MpCodec) codec, 0, NULL, &error);
  PyEval_RestoreThread (state);
  accelerator_close_parts (&parts);
  if (done)
    Py_RETURN_TRUE;
  if (raise_for (error))
    return NULL;
  Py_RETURN_FALSE;
}

static gboolean
put (gpointer queue, const Py_buffer *data, guint codec, GError **error)
{
  PyThreadState *state = data->len < LONG ? NULL : PyEval_SaveThread ();
  gboolean done = mp_queue_put_payload (queue, data->buf, (gsize) data->len, codec, 0, NULL, error);

  if (state != NULL)
    PyEval_RestoreThread (state);
  return done;
}

static PyObject *
queue_try_put (PyObject *self, PyObject *const *args, Py_ssize_t n)
{
  gpointer queue = accelerator_peek (self);
  GError *error = NULL;
  Py_buffer data;
  gboolean done;
  long codec;

  if (queue == NULL)
    return accelerator_complain (self);
  if (n != 2)
    {
      PyErr_Format (PyExc_TypeError, "_try_put() takes 2 arguments (%zd given)", n);
      return NULL;
    }
  codec = PyLong_AsLong (args[1]);
  if (codec == -1 && PyErr_Occurred () != NULL)
    return NULL;
  if (codec < 0 || codec > MP_CODEC_PICKLE_BUFFERS)
    {
      PyErr_Format (PyExc_ValueError, "there is no codec %ld", codec);
      return NULL;
    }
  if (PyList_Check (args[0]))
    return try_put_parts (queue, args[0]);
  if (PyObject_GetBuffer (args[0], &data, PyBUF_SIMPLE) != 0)
    return NULL;
  done = put (queue, &data, (guint) codec, &error);
  PyBuffer_Release (&data);
  if (done)
    Py_RETURN_TRUE;
  if (raise_for (error))
    return NULL;
  Py_RETURN_FALSE;
}

/* The next message, which is long, or another one if that was taken meanwhile. */
static PyObject *
get_long (gpointer queue)
{
  GError *error = NULL;
  PyThreadState *state = PyEval_SaveThread ();
  MpBuffer *buffer = mp_queue_get_buffer (queue, 0, NULL, &error);
  PyObject *block;

  PyEval_RestoreThread (state);
  if (buffer != NULL)
    {
      int codec = (int) mp_buffer_get_codec (buffer);

      block = accelerator_block_new (buffer);
      return block != NULL ? Py_BuildValue ("(Ni)", block, codec) : NULL;
    }
  if (g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY))
    {
      g_error_free (error);
      return Py_BuildValue ("(y#i)", "", (Py_ssize_t) 0, -1);
    }
  raise_for (error);
  return NULL;
}

static PyObject *
queue_try_get (PyObject *self, PyObject *nothing)
{
  gpointer queue = accelerator_peek (self);
  const guint8 *data;
  gsize length;
  int codec;

  if (queue == NULL)
    return accelerator_complain (self);
  data = mp_queue_try_get_payload (queue, &length, &codec);
  if (G_UNLIKELY (codec == -4))
    return get_long (queue);
  return Py_BuildValue ("(y#i)",
                        data != NULL ? (const char *) data : "",
                        (Py_ssize_t) length,
                        codec);
}

/* Several at a time */

/* Back to back, and the length of each: NULL with an exception set, also if @list has something
 * else than bytes. */
static guint8 *
join_list (PyObject *list, guint32 *lengths, gsize *length)
{
  Py_ssize_t n = PyList_Size (list);
  guint8 *joined, *end;
  char *bytes;
  Py_ssize_t size;

  *length = 0;
  for (Py_ssize_t i = 0; i < n; i++)
    {
      if (PyBytes_AsStringAndSize (PyList_GetItem (list, i), &bytes, &size) != 0)
        return NULL;
      if ((guint64) size > G_MAXUINT32)
        {
          PyErr_Format (PyExc_OverflowError,
                        "an item of %zd bytes is too long to be put with others",
                        size);
          return NULL;
        }
      lengths[i] = (guint32) size;
      *length += (gsize) size;
    }
  joined = end = g_try_malloc (MAX (*length, 1));
  if (joined == NULL)
    PyErr_NoMemory ();
  for (Py_ssize_t i = 0; joined != NULL && i < n; i++)
    {
      PyBytes_AsStringAndSize (PyList_GetItem (list, i), &bytes, &size);
      memcpy (end, bytes, (gsize) size);
      end += size;
    }
  return joined;
}

static PyObject *
queue_try_put_many (PyObject *self, PyObject *list)
{
  gpointer queue = accelerator_peek (self);
  g_autofree guint32 *lengths = NULL;
  g_autofree guint8 *joined = NULL;
  Py_ssize_t n = PyList_Size (list);
  PyThreadState *state;
  GError *error = NULL;
  gsize length;
  gboolean done;

  if (queue == NULL)
    return accelerator_complain (self);
  if (n < 0)
    return NULL;
  lengths = g_new (guint32, (gsize) n);
  joined = join_list (list, lengths, &length);
  if (joined == NULL)
    return NULL;
  state = PyEval_SaveThread ();
  done = mp_queue_put_packed (queue,
                              joined,
                              length,
                              (const guint8 *) lengths,
                              (gsize) n * sizeof *lengths,
                              MP_CODEC_PICKLE,
                              0,
                              NULL,
                              &error);
  PyEval_RestoreThread (state);
  if (done)
    Py_RETURN_TRUE;
  if (!g_error_matches (error, MP_ERROR, MP_ERROR_FULL))
    return accelerator_raise_glib (error);
  g_error_free (error);
  Py_RETURN_FALSE;
}

static gboolean
append (PyObject *list, PyObject *object)
{
  gboolean done = object != NULL && PyList_Append (list, object) == 0;

  Py_XDECREF (object);
  return done;
}

/* Appends what mp_queue_get_packed() gave. FALSE with an exception set. */
static gboolean
split (const guint8 *packed, PyObject *items, PyObject *codecs)
{
  const guint32 *lengths = (const guint32 *) (gconstpointer) packed + 1;
  guint32 n = lengths[-1];
  const guint8 *data = (const guint8 *) (lengths + 2 * (gsize) n);
  gboolean done = TRUE;

  for (guint32 i = 0; done && i < n; i++)
    {
      guint32 codec = lengths[n + i];

      done = append (items, PyBytes_FromStringAndSize ((const char *) data, lengths[i])) &&
             append (codecs, PyLong_FromUnsignedLong (codec));
      data += lengths[i];
    }
  return done;
}

/* No object of a kind that is collected is made while the bytes are this thread's: what is
 * finalized then may take something from a queue. */
static PyObject *
queue_try_get_many (PyObject *self, PyObject *number)
{
  gpointer queue = accelerator_peek (self);
  unsigned long max_items = PyLong_AsUnsignedLong (number);
  PyObject *items, *codecs;
  PyThreadState *state;
  GError *error = NULL;
  const guint8 *packed;
  gsize length;

  if (queue == NULL)
    return accelerator_complain (self);
  if (PyErr_Occurred () != NULL)
    return NULL;
  if (max_items == 0 || max_items > G_MAXUINT)
    {
      PyErr_Format (PyExc_ValueError, "there cannot be %lu items", max_items);
      return NULL;
    }
  items = PyList_New (0);
  codecs = PyList_New (0);
  if (items != NULL && codecs != NULL)
    {
      state = PyEval_SaveThread ();
      packed = mp_queue_get_packed (queue, (guint) max_items, 0, &length, NULL, &error);
      PyEval_RestoreThread (state);
      if (packed != NULL ? split (packed, items, codecs)
                         : g_error_matches (error, MP_ERROR, MP_ERROR_EMPTY))
        {
          g_clear_error (&error);
          return Py_BuildValue ("(NN)", items, codecs);
        }
    }
  Py_XDECREF (items);
  Py_XDECREF (codecs);
  return error != NULL ? accelerator_raise_glib (error) : NULL;
}

static PyMethodDef methods[] = {
  { "_attach", queue_attach, METH_O, "Makes it stand for a GObject." },
  { "_try_put",
    (PyCFunction) (void *) queue_try_put,
    METH_FASTCALL,
    "_try_put(data, codec): puts a message, or the parts of one in a list; False if there is no "
    "room." },
  { "_try_get", queue_try_get, METH_NOARGS, "_try_get(): (data, codec) of the next message." },
  { "_try_put_many",
    queue_try_put_many,
    METH_O,
    "_try_put_many(pickles): puts all of a list of bytes, or none; False if there is no room." },
  { "_try_get_many",
    queue_try_get_many,
    METH_O,
    "_try_get_many(max_items): the lists of the data and of the codecs of the next messages." },
  { NULL, NULL, 0, NULL },
};

static PyGetSetDef getters[] = {
  { "gobject", accelerator_get_gobject, NULL, "The introspected object behind it.", NULL },
  { NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot slots[] = {
  { Py_tp_methods, methods },
  { Py_tp_getset, getters },
  { Py_tp_dealloc, accelerator_dealloc },
  { Py_tp_traverse, accelerator_traverse },
  { 0, NULL },
};

static PyType_Spec spec = { "_multiprocessing_gi.Queue",
                            sizeof (AcceleratorObject),
                            0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                            slots };

gboolean
accelerator_add_queue (PyObject *module)
{
  block_type = (PyTypeObject *) PyType_FromSpec (&block_spec);
  return block_type != NULL && accelerator_add_type (module, "Queue", &spec);
}

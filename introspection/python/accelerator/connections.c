/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

/* A short message of a Connection, in one call and without sleeping. */

#include "accelerator.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_LENGTH 4
/* What is longer is read by who waits for it. */
#define MAX_LENGTH 65536

static guint32
length_of (const guint8 *header)
{
  return (guint32) header[0] << 24 | (guint32) header[1] << 16 | (guint32) header[2] << 8 |
         (guint32) header[3];
}

/* (header, beginning): what was read of a message that is not there as a whole, or not short.
 * Takes @beginning. */
static PyObject *
answer_with_part (const guint8 *header, Py_ssize_t length, PyObject *beginning)
{
  return beginning != NULL ? Py_BuildValue ("(y#N)", (const char *) header, length, beginning)
                           : NULL;
}

static PyObject *
receive_soon (PyObject *module, PyObject *number)
{
  long fd = PyLong_AsLong (number);
  guint8 header[HEADER_LENGTH];
  PyThreadState *state;
  PyObject *payload, *beginning;
  gssize received;
  guint32 length;
  int error;

  if (fd < 0 || fd > G_MAXINT)
    {
      if (PyErr_Occurred () == NULL)
        PyErr_Format (PyExc_ValueError, "a descriptor cannot be %ld", fd);
      return NULL;
    }
  state = PyEval_SaveThread ();
  received = mp_connection_read_soon ((int) fd, header, sizeof header);
  error = errno;
  PyEval_RestoreThread (state);
  if (received < 0 && (error == EAGAIN || error == ENOTSOCK))
    return PyBool_FromLong (error == EAGAIN);
  if (received < 0)
    {
      /* Not for who reads next: the system tells it once. */
      errno = error;
      return PyErr_SetFromErrno (PyExc_OSError);
    }
  if (received < HEADER_LENGTH)
    return answer_with_part (header, received, PyBytes_FromStringAndSize (NULL, 0));
  length = length_of (header);
  if (length == 0 || length > MAX_LENGTH)
    return answer_with_part (header, received, PyBytes_FromStringAndSize (NULL, 0));
  payload = PyBytes_FromStringAndSize (NULL, length);
  if (payload == NULL)
    return NULL;
  received = recv ((int) fd, PyBytes_AsString (payload), length, MSG_DONTWAIT);
  if (received == (gssize) length)
    return payload;
  beginning = PyBytes_FromStringAndSize (PyBytes_AsString (payload), MAX (received, 0));
  Py_DECREF (payload);
  return answer_with_part (header, HEADER_LENGTH, beginning);
}

static PyMethodDef functions[] = {
  { "receive_soon",
    receive_soon,
    METH_O,
    "receive_soon(fd): the next message, if it is short and there, or comes soon.\n\n"
    "If only a part of it is there: (what was read of the four bytes of its length, what was\n"
    "read behind that); the first is empty at the end. True if nothing came, and False for what\n"
    "is not a socket." },
  { NULL, NULL, 0, NULL },
};

gboolean
accelerator_add_connections (PyObject *module)
{
  return PyModule_AddFunctions (module, functions) == 0;
}

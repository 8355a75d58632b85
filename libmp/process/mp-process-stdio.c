/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-process-types-private.h"

#include "mp-pump-private.h"
#include "../base/mp-error-private.h"
#include "../base/mp-fd-private.h"

#include <fcntl.h>
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <string.h>

/* The standard streams of a process. */

#define READ_SIZE (64 * 1024)
/* A longer line comes in pieces. */
#define MAX_LINE (64 * 1024)
/* With what the marks of a pool begin, and how long they are at most. */
#define CONTROL '\x1e'
#define CONTROL_LENGTH 32
/* What somebody who goes on writing may still have read at the end of the process. */
#define MAX_DRAIN_READS 64

static const char *const stream_names[MP_N_STREAMS] = { "input", "output", "error" };

static gboolean
open_pipe (MpProcessStream *self, gboolean input, GError **error)
{
  int ends[2];

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return mp_set_error_from_errno (error, errno, "Cannot make a pipe");
  self->theirs = ends[input ? 0 : 1];
  self->ours = ends[input ? 1 : 0];
  return TRUE;
}

static gboolean
open_file (MpProcessStream *self, const char *path, gboolean input, GError **error)
{
  int flags = input ? O_RDONLY : O_WRONLY | O_CREAT | (self->append ? O_APPEND : O_TRUNC);

  self->theirs = open (path, flags | O_CLOEXEC, 0666);
  if (self->theirs < 0)
    {
      g_autofree char *what = g_strdup_printf ("Cannot open “%s” as a standard stream", path);

      return mp_set_error_from_errno (error, errno, what);
    }
  return TRUE;
}

static gboolean
open_stream (MpProcessStream *streams, guint i, GError **error)
{
  MpProcessStream *self = &streams[i];
  int from = -1;

  switch (self->how)
    {
    case MP_STDIO_NULL:
      return open_file (self, "/dev/null", i == STDIN_FILENO, error);
    case MP_STDIO_PIPE:
    case MP_STDIO_LINES:
      return open_pipe (self, i == STDIN_FILENO, error);
    case MP_STDIO_FILE:
      if (self->path != NULL)
        return open_file (self, self->path, i == STDIN_FILENO, error);
      from = self->given;
      break;
    case MP_STDIO_STDOUT:
      from = streams[STDOUT_FILENO].theirs;
      /* What the caller has then is what the process is going to have. */
      if (from < 0)
        from = STDOUT_FILENO;
      break;
    case MP_STDIO_INHERIT:
    default:
      return TRUE;
    }
  self->theirs = fcntl (from, F_DUPFD_CLOEXEC, 3);
  return self->theirs >= 0 ||
         mp_set_error_from_errno (error, errno, "Cannot pass a standard stream on");
}

gboolean
mp_process_streams_open (MpProcessStream *streams, GError **error)
{
  for (guint i = 0; i < MP_N_STREAMS; i++)
    {
      mp_clear_fd (&streams[i].theirs);
      mp_clear_fd (&streams[i].ours);
      if (!open_stream (streams, i, error))
        return FALSE;
    }
  return TRUE;
}

void
mp_process_streams_close_theirs (MpProcessStream *streams)
{
  for (guint i = 0; i < MP_N_STREAMS; i++)
    mp_clear_fd (&streams[i].theirs);
}

void
mp_process_streams_clear (MpProcessStream *streams)
{
  for (guint i = 0; i < MP_N_STREAMS; i++)
    {
      MpProcessStream *self = &streams[i];

      if (self->source != NULL)
        g_source_destroy (self->source);
      g_clear_pointer (&self->source, g_source_unref);
      if (self->line != NULL)
        g_string_free (g_steal_pointer (&self->line), TRUE);
      g_clear_object (&self->stream);
      g_clear_pointer (&self->path, g_free);
      mp_clear_fd (&self->given);
      mp_clear_fd (&self->theirs);
      mp_clear_fd (&self->ours);
    }
}

/* --- Lines, on the pump --------------------------------------------------- */

static void
finish_line (MpProcessStream *self, GPtrArray *lines)
{
  g_ptr_array_add (lines, g_utf8_make_valid (self->line->str, self->line->len));
  g_string_truncate (self->line, 0);
}

/* Where a line that has grown too long is cut: not within the last bytes that a control
 * character begins, for they may mean something as a whole. */
static gsize
get_cut (const GString *line)
{
  const char *tail = line->str + line->len - MIN (line->len, CONTROL_LENGTH);
  const char *control = memchr (tail, CONTROL, line->str + line->len - tail);

  return control != NULL && control > line->str ? (gsize) (control - line->str) : line->len;
}

static void
split_lines (MpProcessStream *self, const char *data, gsize length, GPtrArray *lines)
{
  const char *end = data + length;

  while (data < end)
    {
      gsize room = MIN ((gsize) (end - data), MAX_LINE - self->line->len);
      const char *newline = memchr (data, '\n', room);
      gsize n = newline != NULL ? (gsize) (newline - data) : room;

      g_string_append_len (self->line, data, n);
      data += n + (newline != NULL ? 1 : 0);
      if (newline != NULL)
        {
          finish_line (self, lines);
        }
      else if (self->line->len >= MAX_LINE)
        {
          gsize cut = get_cut (self->line);
          g_autoptr (GBytes) rest = g_bytes_new (self->line->str + cut, self->line->len - cut);

          g_string_truncate (self->line, cut);
          finish_line (self, lines);
          g_string_append_len (self->line, g_bytes_get_data (rest, NULL), g_bytes_get_size (rest));
        }
    }
}

/* Reads once. FALSE if there is nothing now; at the end the stream is closed. */
static gboolean
read_lines (MpProcess *self, guint i)
{
  MpProcessStream *stream = &self->streams[i];
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *data = g_malloc (READ_SIZE);
  gssize length = TEMP_FAILURE_RETRY (read (stream->ours, data, READ_SIZE));

  if (length < 0 && errno == EAGAIN)
    return FALSE;
  if (length > 0)
    {
      split_lines (stream, data, length, lines);
    }
  else
    {
      if (stream->line->len > 0)
        finish_line (stream, lines);
      g_source_destroy (stream->source);
      g_clear_pointer (&stream->source, g_source_unref);
      mp_clear_fd (&stream->ours);
    }
  if (lines->len > 0)
    mp_process_take_lines (self, i, lines);
  return length > 0;
}

static gboolean
lines_cb (int fd, GIOCondition condition, gpointer user_data)
{
  g_autoptr (MpProcess) self = g_object_ref (user_data);

  for (guint i = 1; i < MP_N_STREAMS; i++)
    if (self->streams[i].source != NULL && self->streams[i].ours == fd)
      read_lines (self, i);
  return G_SOURCE_CONTINUE;
}

void
mp_process_streams_begin (MpProcess *self)
{
  for (guint i = 1; i < MP_N_STREAMS; i++)
    {
      MpProcessStream *stream = &self->streams[i];

      if (stream->how != MP_STDIO_LINES || stream->ours < 0)
        continue;
      g_unix_set_fd_nonblocking (stream->ours, TRUE, NULL);
      stream->line = g_string_new (NULL);
      stream->source = g_unix_fd_source_new (stream->ours, G_IO_IN);
      g_source_set_callback (stream->source,
                             G_SOURCE_FUNC (lines_cb),
                             g_object_ref (self),
                             g_object_unref);
      mp_pump_attach (stream->source);
    }
}

void
mp_process_streams_drain (MpProcess *self)
{
  for (guint i = 1; i < MP_N_STREAMS; i++)
    for (guint n = 0; n < MAX_DRAIN_READS && self->streams[i].source != NULL; n++)
      if (!read_lines (self, i))
        break;
}

typedef struct
{
  MpProcess *process;
  guint stream;
  GPtrArray *lines;
} Lines;

static void
lines_free (gpointer data)
{
  Lines *lines = data;

  g_object_unref (lines->process);
  g_ptr_array_unref (lines->lines);
  g_free (lines);
}

static gboolean
emit_lines_cb (gpointer user_data)
{
  Lines *lines = user_data;

  for (guint i = 0; i < lines->lines->len; i++)
    mp_process_emit_line (lines->process, lines->stream, g_ptr_array_index (lines->lines, i));
  return G_SOURCE_REMOVE;
}

void
mp_process_take_lines (MpProcess *self, guint stream, GPtrArray *lines)
{
  g_autoptr (GSource) source = NULL;
  Lines *posted;

  if (self->line_func != NULL)
    {
      for (guint i = 0; i < lines->len; i++)
        self->line_func (self, stream, g_ptr_array_index (lines, i), self->line_data);
      return;
    }
  /* What nobody would hear must not pile up where no main loop turns. */
  if (self->main_context == NULL || !mp_process_has_line_listeners (self))
    return;
  posted = g_new (Lines, 1);
  posted->process = g_object_ref (self);
  posted->stream = stream;
  posted->lines = g_ptr_array_ref (lines);
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "MpProcess::line");
  g_source_set_callback (source, emit_lines_cb, posted, lines_free);
  g_source_attach (source, self->main_context);
}

/* --- What is set ---------------------------------------------------------- */

static MpProcessStream *
reset_stream (MpProcess *self, guint i, MpStdio how)
{
  MpProcessStream *stream = &self->streams[i];

  stream->how = how;
  mp_clear_fd (&stream->given);
  g_clear_pointer (&stream->path, g_free);
  stream->append = FALSE;
  return stream;
}

/**
 * mp_process_set_stdio:
 * @self: a process that was not started
 * @stream: 0 for the standard input, 1 for the output, 2 for error messages
 * @how: what becomes of it; %MP_STDIO_FILE is for
 *   [method@Mp.Process.set_stdio_file]
 *
 * Sets what a standard stream of the process is. By default it is that of the process
 * that starts it, but the input of a task is `/dev/null`.
 *
 * For a pipe, [method@Mp.Process.get_stdin_stream], [method@Mp.Process.get_stdout_stream]
 * and [method@Mp.Process.get_stderr_stream] give our end. Lines come with
 * [signal@Mp.Process::line].
 *
 * Since: 0.1
 */
void
mp_process_set_stdio (MpProcess *self, guint stream, MpStdio how)
{
  g_return_if_fail (MP_IS_PROCESS (self));
  g_return_if_fail (stream < MP_N_STREAMS);
  g_return_if_fail (how != MP_STDIO_FILE);
  g_return_if_fail (how != MP_STDIO_LINES || stream != 0);
  g_return_if_fail (how != MP_STDIO_STDOUT || stream == 2);
  g_return_if_fail (!mp_process_get_started (self));

  reset_stream (self, stream, how);
}

/**
 * mp_process_set_stdio_file:
 * @self: a process that was not started
 * @stream: 0 for the standard input, 1 for the output, 2 for error messages
 * @path: (type filename): a file, which is opened by [method@Mp.Process.start]
 * @append: TRUE to write behind what is there, FALSE to write in its place
 *
 * Makes a file the standard stream of the process.
 *
 * Since: 0.1
 */
void
mp_process_set_stdio_file (MpProcess *self, guint stream, const char *path, gboolean append)
{
  MpProcessStream *place;

  g_return_if_fail (MP_IS_PROCESS (self));
  g_return_if_fail (stream < MP_N_STREAMS);
  g_return_if_fail (path != NULL);
  g_return_if_fail (!mp_process_get_started (self));

  place = reset_stream (self, stream, MP_STDIO_FILE);
  place->path = g_strdup (path);
  place->append = append;
}

/**
 * mp_process_set_stdio_fd:
 * @self: a process that was not started
 * @stream: 0 for the standard input, 1 for the output, 2 for error messages
 * @fd: a descriptor, of which the process gets a copy
 * @error: return location for an error
 *
 * Makes an open file, socket or pipe the standard stream of the process.
 *
 * Returns: FALSE with an error of domain %MP_ERROR if @fd cannot be copied
 *
 * Since: 0.1
 */
gboolean
mp_process_set_stdio_fd (MpProcess *self, guint stream, int fd, GError **error)
{
  int copy;

  g_return_val_if_fail (MP_IS_PROCESS (self), FALSE);
  g_return_val_if_fail (stream < MP_N_STREAMS, FALSE);
  g_return_val_if_fail (!mp_process_get_started (self), FALSE);

  copy = fcntl (fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0)
    {
      g_autofree char *what =
        g_strdup_printf ("Cannot make descriptor %d the standard %s", fd, stream_names[stream]);

      return mp_set_error_from_errno (error, errno, what);
    }
  reset_stream (self, stream, MP_STDIO_FILE)->given = copy;
  return TRUE;
}

/* Our end of a pipe, made into a stream by the first who asks. */
static gpointer
get_stream (MpProcess *self, guint i)
{
  MpProcessStream *stream = &self->streams[i];
  gpointer object;

  g_mutex_lock (&self->mutex);
  if (stream->stream == NULL && stream->how == MP_STDIO_PIPE && stream->ours >= 0 &&
      self->state >= PROCESS_RUNNING)
    {
      int fd = g_steal_fd (&stream->ours);

      stream->stream = i == STDIN_FILENO ? G_OBJECT (g_unix_output_stream_new (fd, TRUE))
                                         : G_OBJECT (g_unix_input_stream_new (fd, TRUE));
    }
  object = stream->stream;
  g_mutex_unlock (&self->mutex);
  return object;
}

/**
 * mp_process_get_stdin_stream:
 * @self: a process
 *
 * Our end of a pipe to the standard input of the process. Close it to let the process
 * see the end of its input. Whoever writes when the process has closed it gets
 * `SIGPIPE`, unless the program ignores that.
 *
 * Returns: (transfer none) (nullable): the stream; %NULL if it is no pipe, or before
 *   the start
 *
 * Since: 0.1
 */
GOutputStream *
mp_process_get_stdin_stream (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return get_stream (self, STDIN_FILENO);
}

/**
 * mp_process_get_stdout_stream:
 * @self: a process
 *
 * Our end of a pipe from the standard output of the process.
 *
 * Returns: (transfer none) (nullable): the stream; %NULL if it is no pipe, or before
 *   the start
 *
 * Since: 0.1
 */
GInputStream *
mp_process_get_stdout_stream (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return get_stream (self, STDOUT_FILENO);
}

/**
 * mp_process_get_stderr_stream:
 * @self: a process
 *
 * Our end of a pipe from the error messages of the process.
 *
 * Returns: (transfer none) (nullable): the stream; %NULL if it is no pipe, or before
 *   the start
 *
 * Since: 0.1
 */
GInputStream *
mp_process_get_stderr_stream (MpProcess *self)
{
  g_return_val_if_fail (MP_IS_PROCESS (self), NULL);

  return get_stream (self, STDERR_FILENO);
}

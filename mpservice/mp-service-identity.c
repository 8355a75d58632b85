/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-service-identity.h"

#include <libmp.h>

#include "mp-service-names.h"

static const char *const lifetimes[] = { "named", "owner", NULL };

gboolean
mp_service_identity_check_lifetime (const char *key, GVariant *value, GError **error)
{
  return mp_service_options_check_choice (key, value, lifetimes, error);
}

static gboolean
choose_sharing (const char *name, GVariantDict *options, MpServiceSharing *sharing, GError **error)
{
  const char *lifetime = name != NULL ? "named" : "owner";

  g_variant_dict_lookup (options, "lifetime", "&s", &lifetime);
  if (g_str_equal (lifetime, "owner"))
    {
      *sharing = name != NULL ? MP_SERVICE_SHARING_OWNED : MP_SERVICE_SHARING_PRIVATE;
      return TRUE;
    }
  *sharing = MP_SERVICE_SHARING_NAMED;
  if (name != NULL)
    return TRUE;

  g_set_error_literal (error,
                       MP_ERROR,
                       MP_ERROR_INVALID_ARGUMENT,
                       "option \"lifetime\" can be \"named\" only with the option \"name\"");
  return FALSE;
}

/* Takes the place, or frees @self. */
static MpServiceIdentity *
settle (MpServiceIdentity *self, MpService *service, GError **error)
{
  g_autoptr (MpServiceIdentity) settled = self;

  if (!mp_service_charge_object (service, self->owner, error))
    return NULL;
  if (!mp_service_reserve_path (service, self->path))
    {
      mp_service_discharge_object (service, self->owner);
      g_set_error (error, MP_ERROR, MP_ERROR_EXISTS, "there is an object at %s", self->path);
      return NULL;
    }
  settled->service = service;
  settled->settled = TRUE;
  return g_steal_pointer (&settled);
}

MpServiceIdentity *
mp_service_identity_new (MpService *service,
                         const char *kind,
                         const char *sender,
                         GVariantDict *options,
                         GError **error)
{
  MpServiceIdentity *self;
  MpServiceSharing sharing;
  const char *name = NULL, *token = NULL;

  g_variant_dict_lookup (options, "name", "&s", &name);
  g_variant_dict_lookup (options, "handle-token", "&s", &token);
  if (!choose_sharing (name, options, &sharing, error))
    return NULL;

  self = g_new0 (MpServiceIdentity, 1);
  self->kind = kind;
  self->name = g_strdup (name);
  self->owner = g_strdup (sender);
  self->sharing = sharing;
  if (name != NULL)
    self->path = mp_service_names_named_path (kind, name);
  else
    self->path =
      mp_service_names_anonymous_path (kind, sender, token, mp_service_take_serial (service));
  return settle (self, service, error);
}

MpServiceIdentity *
mp_service_identity_new_job (const MpServiceIdentity *pool,
                             const char *sender,
                             GVariantDict *options,
                             GError **error)
{
  MpServiceIdentity *self = g_new0 (MpServiceIdentity, 1);
  const char *token = NULL;

  g_variant_dict_lookup (options, "handle-token", "&s", &token);
  self->kind = "job";
  self->owner = g_strdup (sender);
  self->path =
    mp_service_names_job_path (pool->path, token, mp_service_take_serial (pool->service));
  self->sharing = pool->sharing == MP_SERVICE_SHARING_PRIVATE ? MP_SERVICE_SHARING_PRIVATE
                                                              : MP_SERVICE_SHARING_NAMED;
  return settle (self, pool->service, error);
}

void
mp_service_identity_leave (MpServiceIdentity *self)
{
  if (!self->settled)
    return;
  self->settled = FALSE;

  mp_service_release_path (self->service, self->path);
  mp_service_discharge_object (self->service, self->owner);
}

void
mp_service_identity_free (MpServiceIdentity *self)
{
  mp_service_identity_leave (self);
  g_free (self->name);
  g_free (self->owner);
  g_free (self->path);
  g_free (self);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later
 * SPDX-FileCopyrightText: 2026 the libmp authors */

#include "mp-sha3-private.h"

#include <string.h>

#define N_LANES 25
#define STATE_SIZE 200
#define MAX_RATE 144
#define N_ROUNDS 24

typedef struct
{
  guint64 lanes[N_LANES]; /* the place x, y is lanes[x + 5 * y] */
  gsize rate;
  gsize at;
} Sponge;

static guint64
rotate (guint64 value, guint n)
{
  return n == 0 ? value : value << n | value >> (64 - n);
}

static void
mix_columns (guint64 *lanes)
{
  guint64 parity[5];

  for (guint x = 0; x < 5; x++)
    parity[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20];
  for (guint i = 0; i < N_LANES; i++)
    lanes[i] ^= parity[(i + 4) % 5] ^ rotate (parity[(i + 1) % 5], 1);
}

static void
permute (guint64 *lanes)
{
  static const guint64 constants[N_ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
  };
  static const guint8 turns[N_LANES] = { 0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                         25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14 };

  for (guint round = 0; round < N_ROUNDS; round++)
    {
      guint64 moved[N_LANES];

      mix_columns (lanes);
      for (guint x = 0; x < 5; x++)
        for (guint y = 0; y < 5; y++)
          moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotate (lanes[x + 5 * y], turns[x + 5 * y]);
      for (guint i = 0; i < N_LANES; i++)
        {
          guint row = i / 5 * 5;

          lanes[i] = moved[i] ^ (~moved[row + (i + 1) % 5] & moved[row + (i + 2) % 5]);
        }
      lanes[0] ^= constants[round];
    }
}

static void
put_byte (Sponge *self, gsize place, guint8 byte)
{
  self->lanes[place / 8] ^= (guint64) byte << 8 * (place % 8);
}

static void
absorb (Sponge *self, const guint8 *data, gsize length)
{
  for (gsize i = 0; i < length; i++)
    {
      put_byte (self, self->at++, data[i]);
      if (self->at == self->rate)
        {
          permute (self->lanes);
          self->at = 0;
        }
    }
}

/* What comes out is shorter than the rate. */
static void
squeeze (Sponge *self, guint8 *digest, gsize length)
{
  put_byte (self, self->at, 0x06);
  put_byte (self, self->rate - 1, 0x80);
  permute (self->lanes);
  for (gsize i = 0; i < length; i++)
    digest[i] = (guint8) (self->lanes[i / 8] >> 8 * (i % 8));
}

void
mp_sha3_hmac (gsize length,
              const guint8 *key,
              gsize key_length,
              const guint8 *data,
              gsize data_length,
              guint8 *mac)
{
  gsize rate = STATE_SIZE - 2 * length;
  Sponge inner = { .rate = rate }, outer = { .rate = rate };
  guint8 pad[MAX_RATE] = { 0 };

  if (key_length > rate)
    {
      Sponge whole = { .rate = rate };

      absorb (&whole, key, key_length);
      squeeze (&whole, pad, length);
    }
  else if (key_length > 0)
    memcpy (pad, key, key_length);
  for (gsize i = 0; i < rate; i++)
    pad[i] ^= 0x36;
  absorb (&inner, pad, rate);
  absorb (&inner, data, data_length);
  squeeze (&inner, mac, length);
  for (gsize i = 0; i < rate; i++)
    pad[i] ^= 0x36 ^ 0x5c;
  absorb (&outer, pad, rate);
  absorb (&outer, mac, length);
  squeeze (&outer, mac, length);
}

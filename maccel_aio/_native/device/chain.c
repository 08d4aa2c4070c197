/* chain.c - requests that come after others: held back until these have completed, without a way through the host.
 *
 * One lock of the ring guards all links. Nothing is called under it, so it may be taken wherever a request completes. */
#include "ring.h"

static mx_request *find(maccel_ring *ring, const mx_request *self, uint64_t user_data) {
  for (uint32_t i = 0; i < ring->credits; i++) {
    mx_request *r = &ring->slots[i];
    if (r != self && mx_request_get_state(r) != MX_REQUEST_FREE && r->user_data == user_data) return r;
  }
  return NULL;
}

int mx_chain_hold(mx_request *r, const maccel_sqe *sqe, int *res) {
  maccel_ring *ring = r->ring;
  pthread_mutex_lock(&ring->chain_lock);
  for (uint32_t i = 0; i < sqe->num_after; i++) {
    mx_request *behind = find(ring, r, sqe->after[i]);
    r->links[i] = (mx_link){.who = r};
    if (!behind) continue;
    if (behind->decided) {
      if (*res == MACCEL_OK) *res = behind->outcome;
      continue;
    }
    r->links[i].behind = behind;
    r->links[i].next = behind->followers;
    behind->followers = &r->links[i];
    r->awaited++;
  }
  for (uint32_t i = sqe->num_after; i < MACCEL_MAX_AFTER; i++) r->links[i] = (mx_link){.who = r};
  const int held = r->awaited > 0;
  pthread_mutex_unlock(&ring->chain_lock);
  return held;
}

/* Under the chain lock. */
static void unlink_all(mx_request *r) {
  for (int i = 0; i < MACCEL_MAX_AFTER; i++) {
    mx_link *link = &r->links[i];
    if (!link->behind) continue;
    mx_link **at = &link->behind->followers;
    while (*at != link) at = &(*at)->next;
    *at = link->next;
    link->behind = NULL;
  }
  r->awaited = 0;
}

int mx_chain_remove(mx_request *r) {
  pthread_mutex_lock(&r->ring->chain_lock);
  const int held = r->awaited > 0;
  if (held) unlink_all(r);
  pthread_mutex_unlock(&r->ring->chain_lock);
  return held;
}

mx_request *mx_chain_decide(mx_request *r, int res) {
  mx_request *ready = NULL, **end = &ready;
  pthread_mutex_lock(&r->ring->chain_lock);
  r->decided = 1;
  r->outcome = res;
  for (mx_link *link = r->followers; link; link = link->next) {
    mx_request *who = link->who;
    link->behind = NULL;
    if (who->inherited == MACCEL_OK) who->inherited = res;
    if (--who->awaited > 0) continue;
    *end = who;
    end = &who->next;
  }
  *end = NULL;
  r->followers = NULL;
  pthread_mutex_unlock(&r->ring->chain_lock);
  return ready;
}

mx_request *mx_chain_cut(mx_request *r) {
  mx_request *ready = NULL;
  pthread_mutex_lock(&r->ring->chain_lock);
  while (r->followers) {
    mx_request *who = r->followers->who;
    unlink_all(who); /* takes it out of this list too */
    who->inherited = MACCEL_E_CANCELED;
    who->next = ready;
    ready = who;
  }
  pthread_mutex_unlock(&r->ring->chain_lock);
  return ready;
}

void mx_chain_release(mx_request *ready) {
  while (ready) {
    mx_request *r = ready;
    maccel_device *dev = r->device;
    ready = r->next;
    r->next = NULL;
    if (r->inherited != MACCEL_OK)
      mx_request_complete(r, r->inherited);
    else if (mx_load_acquire(&r->ring->closed))
      mx_request_complete(r, MACCEL_E_CANCELED);
    else
      dev->iface->enqueue(dev, r, 1);
  }
}

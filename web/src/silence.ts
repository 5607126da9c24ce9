/** The server sends a heartbeat every 15 seconds. A stream that is silent for three of them is dead. */
export const longestSilence = 45_000;

/** Watch calls back once when a stream has been silent for too long. */
export interface Watch {
  /** Notes that something has arrived. */
  heard: () => void;
  stop: () => void;
}

/**
 * watch begins to watch a stream. A computer that slept stops its timers, so the clock is read again when the page is
 * shown or the network is there again.
 */
export function watch(isDead: () => void): Watch {
  let last = Date.now();
  const stop = () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("online", look);
  };
  const look = () => {
    if (Date.now() - last < longestSilence) return;
    stop();
    isDead();
  };
  const timer = setInterval(look, longestSilence / 9);
  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
  return { heard: () => void (last = Date.now()), stop };
}

// The time spent in the present status, counted up every second.
const timer = document.querySelector("[data-since]");
if (timer) {
  const since = new Date(timer.dataset.since).getTime();
  const two = (n) => String(n).padStart(2, "0");
  const show = () => {
    const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000));
    timer.textContent = `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  };
  show();
  setInterval(show, 1000);
}

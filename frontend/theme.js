// Before the first paint, so that a chosen theme does not flash.
try {
  const theme = localStorage.getItem("stereoscope.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that forbids storage follows the system.
}

/** The files that were dropped, those of folders by their paths. */
export async function filesDropped(transfer: DataTransfer): Promise<File[]> {
  // the event's items are gone once it is over
  const dropped = Array.from(transfer.items, (item) => item.webkitGetAsEntry() ?? item.getAsFile());
  const files = await Promise.all(dropped.map((each) => (each instanceof File ? [each] : each ? filesOf(each) : [])));
  return files.flat();
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (isFolder(entry)) {
    const files: File[] = [];
    const reader = entry.createReader();
    for (;;) {
      // a hundred or so at a time, and none at the end
      const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (entries.length === 0) return files;
      files.push(...(await Promise.all(entries.map(filesOf))).flat());
    }
  }
  const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  return [new File([file], entry.fullPath.replace(/^\//, ""), { type: file.type, lastModified: file.lastModified })];
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}

/** Who is signed in, and to which projects. */
import { createContext, use } from "react";
import { graphql, type ResultOf } from "./graphql.ts";

export const VIEWER = graphql(`
  query Viewer {
    viewer {
      id
      name
      scopes
      projects(first: 500) {
        nodes {
          id
          slug
          name
        }
      }
    }
  }
`);

export type Viewer = ResultOf<typeof VIEWER>["viewer"];
export type Project = Viewer["projects"]["nodes"][number];

export const ViewerContext = createContext<Viewer | null>(null);
export const ProjectContext = createContext<Project | null>(null);

export function useViewer(): Viewer {
  const viewer = use(ViewerContext);
  if (!viewer) throw new Error("Nobody is signed in.");
  return viewer;
}

export function useProject(): Project {
  const project = use(ProjectContext);
  if (!project) throw new Error("There is no project here.");
  return project;
}

export function may(viewer: Viewer, scope: "WRITE" | "ADMIN"): boolean {
  return viewer.scopes.includes("ADMIN") || viewer.scopes.includes(scope);
}

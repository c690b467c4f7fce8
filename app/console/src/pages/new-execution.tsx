import { useState } from "react";
import { useLocation } from "wouter";
import { change, Failure } from "../api.ts";
import { graphql } from "../graphql.ts";
import { FilePicker, type Found } from "../parts/files.tsx";
import { splitProperty } from "../parts/filter.ts";
import { useAction, useAttempt } from "../parts/loading.ts";
import { Field, Form, Heading, Problem } from "../parts/ui.tsx";
import { unique } from "../parts/words.ts";
import { useProject } from "../session.ts";

const CREATE = graphql(`
  mutation CreateExecution($input: CreateExecutionInput!) {
    createExecution(input: $input) {
      execution {
        number
      }
    }
  }
`);

interface Input {
  key: string;
  name: string;
  found: Found | null;
}

export function NewExecutionPage() {
  const project = useProject();
  const [, navigate] = useLocation();
  const [title, setTitle] = useState("");
  const [config, setConfig] = useState("");
  const [step, setStep] = useState("");
  const [command, setCommand] = useState("");
  const [image, setImage] = useState("");
  const [parameters, setParameters] = useState("");
  const [inputs, setInputs] = useState<readonly Input[]>([]);
  const attempt = useAttempt();
  const { busy, failure, run } = useAction();
  const update = (own: string, values: Partial<Input>) =>
    setInputs((before) => before.map((each) => (each.key === own ? { ...each, ...values } : each)));

  const create = () =>
    void run(async () => {
      const unfinished = inputs.find((each) => !each.name || !each.found);
      if (unfinished)
        throw new Failure(
          `The input ${unfinished.name || "without a name"} needs ${unfinished.name ? "a file" : "a name"}, or is to be removed.`,
        );
      const lines = (text: string) => text.split("\n").filter((line) => line.trim());
      const names = [...new Set(inputs.map((each) => each.name))];
      const input = {
        project: project.id,
        title: title || null,
        config: config || null,
        step: step || null,
        command: lines(command),
        image: image || null,
        parameters: Object.fromEntries(lines(parameters).map(splitProperty)),
        inputs: names.map((name) => ({
          name,
          references: inputs
            .filter((each) => each.name === name)
            .map((each) => `datum://${each.found?.reference ?? ""}`),
        })),
      };
      const made = await change(CREATE, { input: { ...input, idempotencyKey: attempt(input) } });
      navigate(`/projects/${project.slug}/executions/${made.createExecution.execution.number}`);
    });

  return (
    <>
      <Heading text="Create an execution" />
      <Form label="Create an execution" act={create}>
        <Field label="Title" hint="For people; may be left out.">
          {(id, hint) => (
            <input id={id} aria-describedby={hint} value={title} onChange={(event) => setTitle(event.target.value)} />
          )}
        </Field>
        <Field label="Command" hint="One line after the other; the first that fails ends it.">
          {(id, hint) => (
            <textarea
              id={id}
              aria-describedby={hint}
              rows={3}
              value={command}
              onChange={(event) => setCommand(event.target.value)}
            />
          )}
        </Field>
        <details>
          <summary>From a valohai.yaml</summary>
          <Field label="valohai.yaml" hint="What is not said here comes from its step.">
            {(id, hint) => (
              <textarea
                id={id}
                aria-describedby={hint}
                rows={6}
                value={config}
                onChange={(event) => setConfig(event.target.value)}
              />
            )}
          </Field>
          <Field label="Step" hint="Its name; not needed where there is one alone.">
            {(id, hint) => (
              <input id={id} aria-describedby={hint} value={step} onChange={(event) => setStep(event.target.value)} />
            )}
          </Field>
        </details>
        <Field label="Image" hint="Where it runs in a container.">
          {(id, hint) => (
            <input id={id} aria-describedby={hint} value={image} onChange={(event) => setImage(event.target.value)} />
          )}
        </Field>
        <Field label="Parameters" hint="name=value, one a line.">
          {(id, hint) => (
            <textarea
              id={id}
              aria-describedby={hint}
              rows={2}
              value={parameters}
              onChange={(event) => setParameters(event.target.value)}
            />
          )}
        </Field>
        <h2>Inputs</h2>
        {inputs.map((each, place) => (
          <fieldset key={each.key}>
            <legend>Input {place + 1}</legend>
            <Field label="Name" hint="The same name again adds a file to it.">
              {(id, hint) => (
                <input
                  id={id}
                  aria-describedby={hint}
                  value={each.name}
                  onChange={(event) => update(each.key, { name: event.target.value })}
                />
              )}
            </Field>
            <FilePicker
              label="File"
              picked={each.found}
              pick={(found) => update(each.key, { found })}
              clear={() => update(each.key, { found: null })}
            />
            <button
              type="button"
              className="small"
              onClick={() => setInputs(inputs.filter((other) => other.key !== each.key))}
            >
              Remove the input
            </button>
          </fieldset>
        ))}
        <button type="button" onClick={() => setInputs([...inputs, { key: unique(), name: "", found: null }])}>
          Add an input
        </button>
        {failure && <Problem failure={failure} />}
        <div className="actions">
          <button className="primary" disabled={busy || (!command.trim() && !config.trim())}>
            {busy ? "Creating …" : "Create"}
          </button>
        </div>
      </Form>
    </>
  );
}
